package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/bind"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/operators"
)

// Tables returns the tables of keyed state that the operators of a graph have. It asks the operators themselves: each is made, on state that is empty.
func Tables(g *bind.Graph, impl func(node string) any) ([]*pb.Table, error) {
	var out []*pb.Table
	for _, st := range g.Stages {
		for _, n := range st.Nodes {
			if n.Spec.Kind != sabot.KindWindow && n.Spec.Kind != sabot.KindProcess {
				continue
			}
			tables, err := tablesOf(st, n, impl)
			if err != nil {
				return nil, fmt.Errorf("operator %q (%s): %w", n.Spec.Name, n.Spec.At, err)
			}
			out = append(out, tables...)
		}
	}
	return out, nil
}

func tablesOf(st *bind.Stage, n *bind.Node, impl func(node string) any) (out []*pb.Table, err error) {
	store, err := objstate.NewStore(objstate.Options{Watermark: sabot.NoTime, KeyFields: st.KeyFields})
	if err != nil {
		return nil, err
	}
	if n.Spec.Kind == sabot.KindWindow {
		_, err = operators.NewWindow(operators.WindowConfig{Name: n.Spec.Name, Spec: *n.Spec.Window, In: n.In[0], Out: n.Out, KeyFields: st.KeyFields}, store)
	} else {
		_, err = operators.NewProcess(operators.ProcessConfig{Name: n.Spec.Name, In: n.In[0], Out: n.Out, KeyFields: st.KeyFields},
			impl(n.Spec.Name).(sabot.ProcessFunc), store)
	}
	if err != nil {
		return nil, err
	}
	for _, spec := range store.Specs() {
		t := &pb.Table{Name: spec.Name, Operator: n.Spec.Name, Stage: uint32(st.ID), Key: columnsOf(st.KeyFields), Columns: columnsOf(spec.Schema)}
		describeTable(t, n)
		out = append(out, t)
	}
	return out, nil
}

func columnsOf(fields []arrow.Field) []*pb.Column {
	out := make([]*pb.Column, len(fields))
	for i, f := range fields {
		out[i] = &pb.Column{Name: f.Name, Type: f.Type.String(), Nullable: f.Nullable}
	}
	return out
}

// describeTable says what kind of table it is, and what its rows and columns mean besides their types.
func describeTable(t *pb.Table, n *bind.Node) {
	handle, own := strings.CutPrefix(t.Name, n.Spec.Name+".")
	switch {
	case n.Spec.Kind == sabot.KindWindow:
		w := n.Spec.Window
		t.Kind, t.Meaning = checkpoint.WindowTable, fmt.Sprintf("windows of %s each %s", w.Size, w.Slide)
		for _, c := range t.Columns {
			var i int
			if _, err := fmt.Sscanf(c.Name, "%d.", &i); err == nil && i < len(w.Aggs) {
				c.Meaning = aggregateOf(w.Aggs[i], n.In[0])
			}
		}
	case !own:
		t.Kind = checkpoint.ValuesTable
		for _, c := range t.Columns {
			for _, d := range n.State {
				if d.Name == c.Name {
					c.Meaning = d.Shape
				}
			}
		}
	default:
		t.Kind = checkpoint.EntryTable
		i := slices.IndexFunc(n.State, func(d sabot.StateDecl) bool { return d.Name == handle && d.Kind != sabot.TimerState })
		if i < 0 { // of the operator, not of one handle: its timers of one clock, told apart by their order among all timers
			t.Kind, t.Meaning = checkpoint.TimersTable, timersOf(n.State)
			return
		}
		d := n.State[i]
		t.Meaning = string(d.Kind)
		if d.Key != nil {
			t.Meaning += " by " + cmp.Or(d.KeyShape, d.Key.String())
		}
		if d.Shape != "" {
			t.Meaning += " of " + d.Shape
		}
	}
}

// aggregateOf tells what an aggregate sums up.
func aggregateOf(a sabot.Agg, in *arrow.Schema) string {
	if a.Column == "" {
		return string(a.Func)
	}
	return fmt.Sprintf("%s of %s %s", a.Func, a.Column, bind.Fields(in, []string{a.Column})[0].Type)
}

// timersOf lists a process function's timers in the order that their stored numbers follow.
func timersOf(state []sabot.StateDecl) string {
	var all []string
	for _, d := range state {
		if d.Kind == sabot.TimerState {
			clock := "event time"
			if d.Domain == sabot.ByProcessingTime {
				clock = "processing time"
			}
			all = append(all, d.Name+" ("+clock+")")
		}
	}
	return strings.Join(all, ", ")
}
