package change

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// graph is a plan in the making: a source, two stages by key with a window each, and a sink.
func graph() *sabot.Plan {
	return &sabot.Plan{Job: "job", Nodes: []*sabot.Node{
		{ID: 0, Name: "in", Kind: sabot.KindSource, Source: &sabot.SourceSpec{Identity: "here", TimeCol: "at"}},
		{ID: 1, Name: "key-by-1", Kind: sabot.KindKeyBy, Inputs: []int{0}, Key: []string{"user"}},
		{ID: 2, Name: "w1", Kind: sabot.KindWindow, Inputs: []int{1}, Window: &sabot.WindowSpec{Size: time.Hour, Slide: time.Hour}},
		{ID: 3, Name: "key-by-2", Kind: sabot.KindKeyBy, Inputs: []int{2}, Key: []string{"user"}},
		{ID: 4, Name: "w2", Kind: sabot.KindWindow, Inputs: []int{3}, Window: &sabot.WindowSpec{Size: time.Hour, Slide: time.Hour}},
		{ID: 5, Name: "out", Kind: sabot.KindSink, Inputs: []int{4}, Sink: &sabot.SinkSpec{Identity: "there"}},
	}}
}

func window(name string, stage uint32) *pb.Table {
	return &pb.Table{Name: name, Operator: name, Kind: checkpoint.WindowTable, Stage: stage, Key: []*pb.Column{{Name: "user", Type: "utf8"}}, Meaning: "hours",
		Columns: []*pb.Column{{Name: "0.n", Type: "int64", Meaning: "count"}}}
}

// world is a root and the graph that is to go on from it; both are of graph() before a test changes them.
type world struct {
	root *pb.Root
	now  Job
}

func newWorld(t *testing.T) *world {
	plan, err := json.Marshal(graph())
	if err != nil {
		t.Fatal(err)
	}
	root := &pb.Root{Job: "job", Run: "run", Format: checkpoint.Format, Term: 3, Epoch: 9, Plan: plan, Groups: []*pb.Group{{Id: 7, Generation: 4, Cut: 9}},
		Objects: []*pb.Object{{Key: "job/packs/a", Size: 100}, {Key: "job/packs/b", Size: 100}},
		Sources: []*pb.Source{{Name: "in", Splits: []*pb.Split{{Id: "a", Group: 7, Rows: 10, Position: "p", HasWatermark: true, WatermarkUs: 500}}}},
		Stages:  []*pb.Stage{{Id: 1}, {Id: 2}}, Tables: []*pb.Table{window("w1", 1), window("w2", 2)}}
	for i, st := range root.Stages {
		st.Partitions = checkpoint.Partitions(2)
		for _, p := range st.Partitions {
			p.Group, p.HasWatermark, p.WatermarkUs = 7, true, int64(500-100*i)
			p.Refs = []*pb.Reference{{Table: []string{"w1", "w2"}[i], Object: uint32(i), Length: 10, Rows: 6, Lo: p.Lo, Hi: p.Hi}}
		}
	}
	return &world{root, Job{Plan: graph(), Tables: []*pb.Table{window("w1", 1), window("w2", 2)}, Partitions: 4, Sinks: map[string][]byte{},
		Stages:  []Stage{{ID: 1, Sources: []string{"in"}}, {ID: 2, From: []uint32{1}}},
		Sources: []*pb.Source{{Name: "in", Splits: []*pb.Split{{Id: "a"}}}}}}
}

func (w *world) decide(t *testing.T) Decision {
	t.Helper()
	before := proto.Clone(w.root)
	d, err := Decide(w.root, w.now)
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(before, w.root) {
		t.Fatal("deciding has changed the root")
	}
	return d
}

// told returns what is not kept.
func told(d Decision) (out []string) {
	for _, i := range d.Items {
		if i.Outcome != Kept {
			out = append(out, i.String())
		}
	}
	return out
}

func TestDecide(t *testing.T) {
	const refusedTTL = "it has a TTL now, or one of another clock, but when it was used last by that is not known: give it another name, and drop this one"
	values := func(columns ...string) *pb.Table {
		v := &pb.Table{Name: "w1", Operator: "w1", Kind: checkpoint.ValuesTable, Stage: 1, Key: window("", 1).Key}
		for _, c := range columns {
			v.Columns = append(v.Columns, &pb.Column{Name: c, Type: "int64", Nullable: true})
		}
		return v
	}
	process := func(p *sabot.Plan) {
		p.Nodes[2].Kind, p.Nodes[2].Window, p.Nodes[2].Process = sabot.KindProcess, nil, &sabot.ProcessSpec{}
	}
	// processes makes w1 a process function with these values before and after.
	processes := func(w *world, was, now *pb.Table) {
		p := graph()
		process(p)
		w.root.Plan, _ = json.Marshal(p) // a plan of graph can be encoded
		process(w.now.Plan)
		w.root.Tables[0], w.now.Tables[0] = was, now
	}
	for name, c := range map[string]struct {
		change  func(w *world)
		verdict Outcome
		says    []string
	}{
		"nothing":  {func(*world) {}, Kept, nil},
		"finished": {func(w *world) { w.root.FinishedUs = 1 }, Refused, []string{"refused: the job: it has finished; --fresh begins it anew"}},
		"ended": {func(w *world) { w.root.Ended = true }, Refused,
			[]string{"refused: the job: all its input is read: start it as it was, and it ends; --fresh begins it anew"}},
		"no tables noted": {func(w *world) { w.root.Tables = nil }, Refused, []string{"refused: the job: its last checkpoint does not tell what its tables hold: " +
			"start it once as it was, with this version, and stop it"}},
		"unread rows": {func(w *world) { w.root.Exchanges = []*pb.Exchange{{Blocks: []*pb.Block{{Rows: 3}, {Rows: 4}}}} }, Drain,
			[]string{"drain first: the job: 7 rows are on their way between stages"}},
		"another kind of operator": {func(w *world) { process(w.now.Plan); w.now.Tables[0] = values("n") }, Dropped, []string{
			"new: \"w1\": it begins empty, and sees the rows that come from now on",
			`dropped: "w1", windows: it was of another kind of operator; it begins empty (up to 6 rows)`}},
		"a key's type": {func(w *world) { w.now.Tables[0].Key[0].Type = "int64" }, Dropped,
			[]string{`dropped: "w1", windows: its key was user utf8 and is user int64; it begins empty (up to 6 rows)`}},
		"state that holds nothing": {func(w *world) {
			w.now.Tables[0].Meaning = "days"
			for _, p := range w.root.Stages[0].Partitions {
				p.Refs = nil
			}
		}, Removed, []string{`removed: "w1", windows: it holds hours and is to hold days; it holds nothing`}},
		"more lateness": {func(w *world) { w.now.Plan.Nodes[2].Window.Lateness = time.Minute }, Changed, []string{
			`changed: "w1": its lateness was 0s and is 1m0s: a row that is late for a window which is forgotten already begins that window anew`}},
		"less rows behind a filter": {func(w *world) { w.now.Plan.Nodes[4].Inputs = []int{1} }, Changed,
			[]string{`changed: "w2": it took the rows of key-by-2 and takes those of key-by-1`}},
		"an event time": {func(w *world) { w.now.Plan.Nodes[0].Source.TimeCol = "seen" }, Refused, []string{
			`refused: "in": its event time was column "at" and is "seen", and what is committed was timed by that: --fresh begins anew`}},
		"a split that is gone": {func(w *world) { w.now.Sources[0].Splits[0].Id = "b" }, Refused, []string{`refused: "in": input a of source "in" is no longer there`}},
		"a split that has changed": {func(w *world) { w.now.Sources[0].Splits[0].Version = "2" }, Refused, []string{
			`refused: "in": input a of source "in" has changed since the job's first start (, now 2)`}},
		"a clone's place": {func(w *world) { w.root.Cloned = true; w.now.Plan.Nodes[5].Sink.Identity = "elsewhere" }, Kept, nil},
		"a place": {func(w *world) { w.now.Plan.Nodes[5].Sink.Identity = "elsewhere" }, Changed,
			[]string{`changed: "out": it published to there and publishes to elsewhere`}},
		"a place that an earlier run is to be removed from": {func(w *world) {
			w.root.OldRuns = []string{"run-0"}
			w.now.Plan.Nodes[5].Sink.Identity = "elsewhere"
		}, Drain, []string{`drain first: "out": outputs of an earlier run wait to be removed, and rows to be published to there before it goes to elsewhere`}},
		"a value with a TTL":     {func(w *world) { processes(w, values("n"), values("n", "n.used")) }, Refused, []string{`refused: "w1", value n: ` + refusedTTL}},
		"a TTL of another clock": {func(w *world) { processes(w, values("n", "n.used"), values("n", "n.used.clock")) }, Refused, []string{`refused: "w1", value n: ` + refusedTTL}},
		"a new value with a TTL": {func(w *world) { processes(w, values("n"), values("n", "m", "m.used")) }, New,
			[]string{`new: "w1", value m: it is empty for every key`}},
		"no TTL any more":   {func(w *world) { processes(w, values("n", "n.used"), values("n")) }, Kept, nil},
		"the order of them": {func(w *world) { processes(w, values("n", "m"), values("m", "n")) }, Kept, nil},
		"a name that was dropped": {func(w *world) {
			was := values("n")
			was.Gone = []string{"m"}
			processes(w, was, values("n", "m"))
		}, Refused, []string{`refused: "w1", value m: a value of this name was dropped before, and rows may still hold it: give it another name`}},
		"one stage of two": {func(w *world) {
			w.now.Tables[1].Stage, w.now.Stages = 1, w.now.Stages[:1]
		}, Refused, []string{"refused: the job: stages 1 and 2 are one stage now, but have not come equally far: give the operators of one of them other names, and drop its state"}},
		"rows behind the end": {func(w *world) {
			for _, p := range w.root.Stages[0].Partitions {
				p.WatermarkUs = ended
			}
		}, Refused, []string{`refused: "in": its rows come to stage 1, which has seen the end of its input already`}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.change(w)
			d := w.decide(t)
			if diff := cmp.Diff(c.says, told(d)); diff != "" || d.Verdict() != c.verdict {
				t.Errorf("verdict %s, want %s (-want +got):\n%s", d.Verdict(), c.verdict, diff)
			}
		})
	}
}

// The root of a changed job has the partitions of before under the new stages, with the references that are kept, and is behind a new fence.
func TestRootOfRenumberedStages(t *testing.T) {
	w := newWorld(t)
	w.now.Tables = []*pb.Table{window("w0", 1), window("w2", 2), window("w1", 3)}
	w.now.Stages = []Stage{{ID: 1, Sources: []string{"in"}}, {ID: 2, From: []uint32{1}}, {ID: 3, Sources: []string{"in"}}}
	w.now.Plan.Nodes = append(w.now.Plan.Nodes, &sabot.Node{ID: 6, Name: "w0", Kind: sabot.KindWindow, Inputs: []int{1}, Window: &sabot.WindowSpec{}})
	w.root.Operators = []*pb.OperatorCounts{{Name: "w1", RowsIn: 5}, {Name: "old", RowsIn: 6}}
	d := w.decide(t)
	root := d.Root(w.root, []byte("{}"), "print")
	if err := checkpoint.Validate(root); err != nil {
		t.Fatal(err)
	}
	g := root.Groups[0]
	if root.Term != 4 || root.Fingerprint != "print" || string(root.Plan) != "{}" || g.Generation != 5 || g.Previous != -1 || g.Since != 9 || g.Cut != 9 || root.Epoch != 9 {
		t.Errorf("the fence: term %d, group %v, epoch %d", root.Term, g, root.Epoch)
	}
	want := []string{"", "w2", "w1"} // tables by stage
	for i, st := range root.Stages {
		for k, p := range st.Partitions {
			tables := ""
			for _, r := range p.Refs {
				tables += r.Table
			}
			if low := []int64{500, 400, 500}[i]; tables != want[i] || p.WatermarkUs != low || p.Group != 7 || p.Lo != w.root.Stages[0].Partitions[k].Lo {
				t.Errorf("stage %d partition %d: %v, want table %q and watermark %d", st.Id, k, p, want[i], low)
			}
		}
	}
	if len(root.Operators) != 1 || root.Operators[0].Name != "w1" || root.Sources[0].Splits[0].Position != "p" || len(root.Tables) != 3 {
		t.Errorf("operators %v, sources %v, tables %v", root.Operators, root.Sources, root.Tables)
	}
}

// What is dropped is garbage, but for what a savepoint keeps.
func TestDroppedStateIsGarbage(t *testing.T) {
	w := newWorld(t)
	w.now.Tables[1].Meaning = "days"
	garbage := checkpoint.Garbage(w.root, w.decide(t).Root(w.root, nil, ""))
	if !slices.Equal(garbage, []string{"job/packs/b"}) {
		t.Errorf("garbage %v", garbage)
	}
	w.root.Pins = []*pb.Pin{{Id: "p", Written: true, Objects: []uint32{1}}}
	if garbage := checkpoint.Garbage(w.root, w.decide(t).Root(w.root, nil, "")); len(garbage) != 0 {
		t.Errorf("garbage %v, though a savepoint keeps it", garbage)
	}
}

// A stage that begins has the watermark of what feeds it, so that what is late does not hang on which comes first, a row or a watermark.
func TestWatermarkOfNewStage(t *testing.T) {
	split := func(low int64, has, idle, over bool) *pb.Split {
		return &pb.Split{WatermarkUs: low, HasWatermark: has, Idle: idle, Ended: over, Group: 7}
	}
	for name, c := range map[string]struct {
		splits []*pb.Split
		want   watermark
	}{
		"the least":        {[]*pb.Split{split(30, true, false, false), split(20, true, false, false)}, watermark{20, true}},
		"none yet":         {[]*pb.Split{split(30, true, false, false), split(0, false, false, false)}, watermark{}},
		"idle is passed":   {[]*pb.Split{split(30, true, false, false), split(20, true, true, false)}, watermark{30, true}},
		"all idle":         {[]*pb.Split{split(30, true, true, false), split(20, true, true, false)}, watermark{20, true}},
		"ended is passed":  {[]*pb.Split{split(30, true, false, false), split(20, true, false, true)}, watermark{30, true}},
		"all of it ended":  {[]*pb.Split{split(30, true, false, true)}, watermark{ended, true}},
		"before any split": {nil, watermark{ended, true}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.root.Sources[0].Splits, w.now.Sources[0].Splits = c.splits, nil
			for i, s := range c.splits {
				s.Id = string(rune('a' + i))
				w.now.Sources[0].Splits = append(w.now.Sources[0].Splits, &pb.Split{Id: s.Id})
			}
			w.now.Tables = []*pb.Table{window("new-1", 1), window("new-2", 2)}
			w.root.Stages = nil // a job without keyed stages until now
			root := w.decide(t).Root(w.root, nil, "")
			for _, st := range root.Stages {
				if len(st.Partitions) != 4 {
					t.Fatalf("%d partitions, want 4 as asked for", len(st.Partitions))
				}
				for _, p := range st.Partitions {
					if got := (watermark{p.WatermarkUs, p.HasWatermark}); got != c.want || p.Group != 7 {
						t.Errorf("stage %d begins at %v, want %v; group %d", st.Id, got, c.want, p.Group)
					}
				}
			}
		})
	}
}

// A source that is new keeps a new stage behind it from having a watermark.
func TestWatermarkBehindNewSource(t *testing.T) {
	w := newWorld(t)
	w.now.Plan.Nodes = append(w.now.Plan.Nodes, &sabot.Node{ID: 6, Name: "more", Kind: sabot.KindSource, Source: &sabot.SourceSpec{TimeCol: "at"}})
	w.now.Sources = append(w.now.Sources, &pb.Source{Name: "more", Splits: []*pb.Split{{Id: "x"}}})
	w.now.Tables = []*pb.Table{window("w1", 1), window("new", 2)}
	w.now.Stages = []Stage{{ID: 1, Sources: []string{"in", "more"}}, {ID: 2, Sources: []string{"more"}}}
	root := w.decide(t).Root(w.root, nil, "")
	if p := root.Stages[0].Partitions[0]; p.WatermarkUs != 500 || !p.HasWatermark {
		t.Errorf("a stage that is kept has the watermark of %v: what it has fired would fire again", p)
	}
	if p := root.Stages[1].Partitions[0]; p.HasWatermark {
		t.Errorf("a stage behind a new source alone begins at %v", p)
	}
	if sp := root.Sources[1].Splits[0]; sp.Group != 7 || sp.Position != "" {
		t.Errorf("the new source: %v", sp)
	}
}
