package change

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// stateful looks at an operator that keeps state, and at its tables.
func (d *decider) stateful(was, n *sabot.Node) {
	switch {
	case was == nil:
		d.say(n.Name, "", New, "it begins empty, and sees the rows that come from now on")
	case n.Kind == sabot.KindWindow && was.Window.Lateness < n.Window.Lateness:
		d.say(n.Name, "", Changed, "its lateness was %s and is %s: a row that is late for a window which is forgotten already begins that window anew",
			was.Window.Lateness, n.Window.Lateness)
	default:
		d.stateless(was, n)
	}
	for _, t := range d.now.Tables {
		if t.Operator == n.Name {
			d.table(t)
		}
	}
	for _, t := range d.root.Tables {
		if t.Operator == n.Name && tableOf(d.now.Tables, t.Name) == nil && was != nil {
			d.lost(t, "it is gone")
		}
	}
}

func (d *decider) tablesGone(n *sabot.Node) {
	for _, t := range d.root.Tables {
		if t.Operator == n.Name && tableOf(d.now.Tables, t.Name) == nil {
			d.lost(t, "the operator is gone")
		}
	}
}

// table looks at a table of the new graph: it keeps the rows of the one of before, or begins empty.
func (d *decider) table(t *pb.Table) {
	t = proto.Clone(t).(*pb.Table)
	d.tables = append(d.tables, t)
	was := tableOf(d.root.Tables, t.Name)
	if was == nil {
		if nodeOf(&d.was, t.Operator) != nil && len(d.root.Tables) > 0 {
			d.say(t.Operator, partOf(t), New, "it begins empty")
		}
		return
	}
	fits, why := true, ""
	switch {
	case was.Operator != t.Operator || was.Kind != t.Kind:
		fits, why = false, "it was of another kind of operator"
	case !sameColumns(was.Key, t.Key):
		fits, why = false, fmt.Sprintf("its key was %s and is %s", listed(was.Key), listed(t.Key))
	case t.Kind == checkpoint.ValuesTable:
		if d.stored[t.Name] > 0 {
			d.values(was, t)
		}
	case t.Kind == checkpoint.TimersTable:
		fits, why = timersFit(was, t)
	case was.Meaning != t.Meaning:
		fits, why = false, fmt.Sprintf("it holds %s and is to hold %s", was.Meaning, t.Meaning)
	case t.Kind == checkpoint.WindowTable:
		fits, why = d.aggregates(was, t)
	default:
		fits, why = sameColumns(was.Columns, t.Columns), fmt.Sprintf("its values were %s and are %s", listed(was.Columns), listed(t.Columns))
	}
	if fits {
		d.kept[t.Name] = was
		return
	}
	d.lost(was, why+"; it begins empty")
}

// lost says that the rows of a table are not kept.
func (d *decider) lost(t *pb.Table, why string) {
	if n := d.stored[t.Name]; n > 0 {
		d.say(t.Operator, partOf(t), Dropped, "%s (up to %d rows)", why, n)
		return
	}
	d.say(t.Operator, partOf(t), Removed, "%s; it holds nothing", strings.TrimSuffix(why, "; it begins empty"))
}

// usedOf returns the value of whose last use a column tells, by the one clock or the other, if it does.
func usedOf(column string) (value string, ok bool) {
	for _, suffix := range []string{".used", ".used.clock"} {
		if v, ok := strings.CutSuffix(column, suffix); ok {
			return v, true
		}
	}
	return "", false
}

// values compares the values of a process function, each a column. The rows stay in any case: what is not wanted is not read, and what is not there is
// null. Segments may hold a column long after it has gone, so nothing else takes its name.
func (d *decider) values(was, t *pb.Table) {
	t.Gone = slices.Clone(was.Gone)
	for _, c := range was.Columns {
		is := columnOf(t.Columns, c.Name)
		of, ttl := usedOf(c.Name)
		switch {
		case is == nil && ttl && columnOf(was.Columns, of) != nil:
			t.Gone = append(t.Gone, c.Name) // its value has no TTL any more, or is gone itself
		case is == nil:
			t.Gone = append(t.Gone, c.Name)
			d.say(t.Operator, "value "+c.Name, Dropped, "it is gone")
		case is.Type != c.Type || is.Meaning != c.Meaning:
			d.say(t.Operator, "value "+c.Name, Refused, "it was %s and is %s: give it another name, and drop this one", cmp.Or(c.Meaning, c.Type), cmp.Or(is.Meaning, is.Type))
		}
	}
	for _, c := range t.Columns {
		of, ttl := usedOf(c.Name)
		ttl = ttl && columnOf(t.Columns, of) != nil
		switch {
		case columnOf(was.Columns, c.Name) != nil:
		case ttl && columnOf(was.Columns, of) != nil:
			d.say(t.Operator, "value "+of, Refused, "it has a TTL now, or one of another clock, but when it was used last by that is not known: give it another name, and drop this one")
		case ttl:
		case slices.Contains(was.Gone, c.Name):
			d.say(t.Operator, "value "+c.Name, Refused, "a value of this name was dropped before, and rows may still hold it: give it another name")
		default:
			d.say(t.Operator, "value "+c.Name, New, "it is empty for every key")
		}
	}
}

// timersFit tells whether stored timers are found again: they are told apart by their order, so those of before must come first.
func timersFit(was, t *pb.Table) (bool, string) {
	if t.Meaning == was.Meaning || strings.HasPrefix(t.Meaning, was.Meaning+", ") {
		return true, ""
	}
	return false, fmt.Sprintf("the timers were %s and are %s, and stored ones are told apart by their order", was.Meaning, t.Meaning)
}

// aggregates compares what windows sum up, in columns by the aggregates' order. Aggregates at the end may go. One that is new would not know of the rows
// that an open window has seen.
func (d *decider) aggregates(was, t *pb.Table) (bool, string) {
	old, now := withoutPane(was.Columns), withoutPane(t.Columns)
	n := len(now)
	if n > len(old) || !sameColumns(old[:n], now) {
		return false, fmt.Sprintf("its aggregates were %s and are %s, and open windows have not seen all rows with the new ones", meanings(old), meanings(now))
	}
	if n < len(old) && d.stored[t.Name] > 0 {
		d.say(t.Operator, "aggregates", Dropped, "%s of open windows", meanings(old[n:]))
	}
	return true, ""
}

// withoutPane returns the columns but for the number of a window's next pane, which is there with lateness only, and 0 where it is missing.
func withoutPane(columns []*pb.Column) []*pb.Column {
	return slices.DeleteFunc(slices.Clone(columns), func(c *pb.Column) bool { return c.Name == "pane" })
}

// meanings lists what columns are kept of, each once.
func meanings(columns []*pb.Column) string {
	var all []string
	for _, c := range columns {
		if !slices.Contains(all, c.Meaning) {
			all = append(all, c.Meaning)
		}
	}
	return strings.Join(all, ", ")
}

// partOf names the part of an operator's state that a table holds.
func partOf(t *pb.Table) string {
	switch handle, own := strings.CutPrefix(t.Name, t.Operator+"."); {
	case t.Kind == checkpoint.TimersTable && handle == "ticks":
		return "timers of processing time"
	case t.Kind == checkpoint.TimersTable:
		return "timers of event time"
	case t.Kind == checkpoint.ValuesTable:
		return "values"
	case own:
		return strings.SplitN(t.Meaning, " ", 2)[0] + " " + handle
	}
	return "windows"
}

func tableOf(tables []*pb.Table, name string) *pb.Table {
	i := slices.IndexFunc(tables, func(t *pb.Table) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return tables[i]
}

func columnOf(columns []*pb.Column, name string) *pb.Column {
	i := slices.IndexFunc(columns, func(c *pb.Column) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return columns[i]
}

func sameColumns(a, b []*pb.Column) bool {
	return slices.EqualFunc(a, b, func(x, y *pb.Column) bool { return x.Name == y.Name && x.Type == y.Type && x.Meaning == y.Meaning })
}

func listed(columns []*pb.Column) string {
	all := make([]string, len(columns))
	for i, c := range columns {
		all[i] = c.Name + " " + c.Type
	}
	return strings.Join(all, ", ")
}
