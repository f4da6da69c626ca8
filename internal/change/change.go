package change

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Outcome is what becomes of an operator, or a part of its state.
type Outcome uint8

// The outcomes, from what needs nobody to what nothing helps with.
const (
	Kept    Outcome = iota // as it was
	Changed                // goes on, but not as it was
	New                    // begins empty
	Removed                // nothing is lost with it
	Dropped                // state or positions are lost, which has to be allowed
	Drain                  // the graph of before has to come to an end with something first
	Refused                // cannot be done
)

var outcomeNames = [...]string{"kept", "changed", "new", "removed", "dropped", "drain first", "refused"}

func (o Outcome) String() string { return outcomeNames[o] }

// MarshalText implements encoding.TextMarshaler.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Item says what becomes of one thing.
type Item struct {
	Operator string  `json:"operator"`       // its name; empty: the job as a whole
	Part     string  `json:"part,omitempty"` // of its state: a handle, an aggregate; empty: the operator
	Outcome  Outcome `json:"outcome"`
	Reason   string  `json:"reason,omitempty"`
}

func (i Item) String() string {
	name := "the job"
	if i.Operator != "" {
		name = fmt.Sprintf("%q", i.Operator)
	}
	if i.Part != "" {
		name += ", " + i.Part
	}
	if i.Reason == "" {
		return fmt.Sprintf("%s: %s", i.Outcome, name)
	}
	return fmt.Sprintf("%s: %s: %s", i.Outcome, name, i.Reason)
}

// Job is a graph, as far as a decision needs it.
type Job struct {
	Plan       *sabot.Plan
	Tables     []*pb.Table
	Stages     []Stage           // the keyed ones, in order of id
	Sources    []*pb.Source      // as they are now, nothing read
	Sinks      map[string][]byte // by committed sink: its columns, as outputs hold them
	Partitions int               // of a stage, where the job has none yet
}

// Stage is a keyed stage and what feeds it.
type Stage struct {
	ID      uint32
	Sources []string // whose rows come to it without another keyed stage between
	From    []uint32 // keyed stages, of lower ids
}

// Decision is what becomes of a job.
type Decision struct {
	Items []Item // in the order of the new graph; what is gone comes last
	edit  checkpoint.Change
}

// Verdict returns the worst of the outcomes, Kept when there is nothing to decide.
func (d Decision) Verdict() (worst Outcome) {
	for _, i := range d.Items {
		worst = max(worst, i.Outcome)
	}
	return worst
}

// Of returns the items of an outcome.
func (d Decision) Of(o Outcome) (items []Item) {
	for _, i := range d.Items {
		if i.Outcome == o {
			items = append(items, i)
		}
	}
	return items
}

// Root returns the root by which the job goes on from the one that was decided on: plan is the new plan as JSON. The verdict is below Drain.
func (d Decision) Root(root *pb.Root, plan []byte, fingerprint string) *pb.Root {
	edit := d.edit
	edit.Plan, edit.Fingerprint = plan, fingerprint
	return checkpoint.Changed(root, edit)
}

// Decide compares a committed root with the graph that is to go on from it. It changes neither. An error means that the root cannot be read.
func Decide(root *pb.Root, now Job) (Decision, error) {
	d := &decider{root: root, now: now, kept: map[string]*pb.Table{}, stored: storedRows(root)}
	if err := json.Unmarshal(root.Plan, &d.was); err != nil {
		return Decision{}, sabot.WithKind(sabot.Corrupt, fmt.Errorf("decode the plan of the last checkpoint: %w", err))
	}
	d.job()
	for _, n := range now.Plan.Nodes {
		d.node(n)
	}
	for _, n := range d.was.Nodes {
		if nodeOf(now.Plan, n.Name) == nil {
			d.gone(n)
		}
	}
	d.stages()
	d.outputs()
	d.edit.Tables = d.tables
	for _, o := range root.Operators {
		if nodeOf(now.Plan, o.Name) != nil {
			d.edit.Operators = append(d.edit.Operators, o)
		}
	}
	return Decision{d.items, d.edit}, nil
}

// decider makes one decision.
type decider struct {
	root   *pb.Root
	was    sabot.Plan
	now    Job
	items  []Item
	edit   checkpoint.Change
	tables []*pb.Table          // of the new root
	kept   map[string]*pb.Table // by name: those of before, whose references are kept
	stored map[string]int64     // rows by table
}

func (d *decider) say(operator, part string, o Outcome, format string, args ...any) {
	d.items = append(d.items, Item{operator, part, o, fmt.Sprintf(format, args...)})
}

// job looks at what is not of one operator.
func (d *decider) job() {
	switch {
	case d.root.FinishedUs != 0:
		d.say("", "", Refused, "it has finished; --fresh begins it anew")
	case d.root.Ended:
		d.say("", "", Refused, "all its input is read: start it as it was, and it ends; --fresh begins it anew")
	}
	if len(d.root.Tables) == 0 && len(d.stored) > 0 {
		d.say("", "", Refused, "its last checkpoint does not tell what its tables hold: start it once as it was, with this version, and stop it")
	}
	rows := int64(0)
	for _, e := range d.root.Exchanges {
		for _, b := range e.Blocks {
			rows += b.Rows
		}
	}
	if rows > 0 {
		d.say("", "", Drain, "%d rows are on their way between stages", rows)
	}
}

// node looks at an operator of the new graph.
func (d *decider) node(n *sabot.Node) {
	was := nodeOf(&d.was, n.Name)
	if was != nil && was.Kind != n.Kind {
		d.leaves(was)
		was = nil
	}
	switch n.Kind {
	case sabot.KindSource:
		d.source(was, n)
	case sabot.KindSink:
		d.sink(was, n)
	case sabot.KindWindow, sabot.KindProcess:
		d.stateful(was, n)
	default:
		d.stateless(was, n)
	}
}

func (d *decider) stateless(was, n *sabot.Node) {
	if was == nil {
		d.say(n.Name, "", New, "")
		return
	}
	if how := d.differs(was, n); how != "" {
		d.say(n.Name, "", Changed, "%s", how)
		return
	}
	d.say(n.Name, "", Kept, "")
}

// differs tells how a node of before differs from the one of its name now, but for sources' and sinks' places; empty: it does not.
func (d *decider) differs(was, n *sabot.Node) string {
	from, to := inputs(&d.was, was), inputs(d.now.Plan, n)
	if !slices.Equal(from, to) {
		return fmt.Sprintf("it took the rows of %s and takes those of %s", strings.Join(from, ", "), strings.Join(to, ", "))
	}
	x, y := *was, *n
	if x.Process != nil && y.Process != nil { // what becomes of its state is said of each handle
		p, q := *x.Process, *y.Process
		p.State, q.State = nil, nil
		x.Process, y.Process = &p, &q
	}
	x.ID, y.ID, x.Inputs, y.Inputs, x.Sink, y.Sink = 0, 0, nil, nil, nil, nil
	if x.Source != nil && y.Source != nil {
		s := *x.Source
		s.Identity = y.Source.Identity
		x.Source = &s
	}
	a, err1 := json.Marshal(x)
	b, err2 := json.Marshal(y)
	if err1 != nil || err2 != nil || string(a) == string(b) {
		return ""
	}
	return "its options are others"
}

// gone looks at an operator of before that is not there any more.
func (d *decider) gone(n *sabot.Node) {
	said := len(d.items)
	d.leaves(n)
	if len(d.items) == said {
		d.say(n.Name, "", Removed, "")
	}
}

// leaves says what is lost, or left to do, with an operator of before.
func (d *decider) leaves(n *sabot.Node) {
	switch n.Kind {
	case sabot.KindSource:
		d.sourceGone(n)
	case sabot.KindSink:
		d.sinkGone(n)
	case sabot.KindWindow, sabot.KindProcess:
		d.tablesGone(n)
	}
}

func nodeOf(p *sabot.Plan, name string) *sabot.Node {
	i := slices.IndexFunc(p.Nodes, func(n *sabot.Node) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	return p.Nodes[i]
}

func inputs(p *sabot.Plan, n *sabot.Node) []string {
	out := make([]string, len(n.Inputs))
	for i, in := range n.Inputs {
		out[i] = p.Nodes[in].Name
	}
	return out
}

// storedRows returns how many rows the root's segments hold of each table. A row that was replaced since may count more than once.
func storedRows(root *pb.Root) map[string]int64 {
	type place struct {
		object uint32
		offset int64
	}
	seen := map[place]bool{}
	rows := map[string]int64{}
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			for _, r := range p.Refs {
				if at := (place{r.Object, r.Offset}); !seen[at] {
					seen[at] = true
					rows[r.Table] += r.Rows
				}
			}
		}
	}
	return rows
}
