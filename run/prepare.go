package run

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/bind"
	"github.com/sabot-stream/sabot/internal/change"
	"github.com/sabot-stream/sabot/internal/engine"
)

// described is what a source says of itself.
type described struct {
	schema *arrow.Schema
	splits []sabot.Split
}

// schemasOf returns the columns that sources can give.
func schemasOf(now map[string]described) map[string]*arrow.Schema {
	schemas := map[string]*arrow.Schema{}
	for name, d := range now {
		schemas[name] = d.schema
	}
	return schemas
}

// prepare binds the job and returns the root to commit first: of a new run, or of one that goes on. A nil root: the job has finished.
func (r *localRun) prepare(ctx context.Context, old *pb.Root) (*bind.Graph, *pb.Root, error) {
	run := r.opt.Clock.Random(4)
	resume := old != nil && !r.opt.Fresh
	if resume {
		run = old.Run
	}
	if old == nil && r.opt.Drain {
		return nil, nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("job %q has no checkpoint in bucket %s: there is nothing to drain", r.plan.Job, r.opt.Bucket))
	}
	env := sabot.Env{Job: r.plan.Job, Run: run, Log: r.opt.Log, Now: r.opt.Clock.Now}
	if old == nil || r.opt.Fresh { // a run that goes on keeps what it had
		env.Notice = r.opt.Notice
	}
	now, err := r.describe(ctx, env)
	if err != nil && !(resume && old.FinishedUs != 0) {
		return nil, nil, err
	}
	if resume && old.FinishedUs != 0 && err != nil {
		return nil, nil, nil // its input has gone since; it has ended all the same
	}
	schemas := schemasOf(now)
	if resume {
		if schemas, err = committedSchemas(old); err != nil {
			return nil, nil, err
		}
	}
	graph, err := bind.Bind(r.plan, r.job.Impl, schemas)
	if resume {
		return r.goOn(ctx, env, old, graph, err, now)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := r.checkSinks(ctx, env, graph, nil); err != nil {
		return nil, nil, err
	}
	root, err := r.fresh(old, graph, now, run)
	return graph, root, err
}

// goOn returns the root by which the job goes on from old. Graph is its graph on the columns that old has committed, if it can be bound to them.
func (r *localRun) goOn(ctx context.Context, env sabot.Env, old *pb.Root, graph *bind.Graph, unbound error, now map[string]described) (*bind.Graph, *pb.Root, error) {
	moved := unbound == nil && old.Cloned && old.FinishedUs == 0
	if moved {
		schemas, err := committedSchemas(old)
		if err == nil {
			old, err = r.moved(old, graph, schemas)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if unbound != nil || graph.Fingerprint() != old.Fingerprint {
		return r.changed(ctx, env, old, now)
	}
	root, err := r.resumed(old, graph, now)
	if err == nil && moved {
		err = r.checkSinks(ctx, env, graph, nil)
	}
	return graph, root, err
}

// describe asks all sources for their columns and splits, and reports all errors.
func (r *localRun) describe(ctx context.Context, env sabot.Env) (map[string]described, error) {
	out := map[string]described{}
	var bad []error
	for _, n := range r.plan.Nodes {
		if n.Kind != sabot.KindSource {
			continue
		}
		schema, splits, err := r.job.Impl(n.Name).(sabot.Source).Describe(ctx, env)
		if err == nil {
			schema, err = batch.NormalizeSchema(schema)
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("source %q (%s): %w", n.Name, n.At, err))
			continue
		}
		out[n.Name] = described{schema, splits}
	}
	return out, errors.Join(bad...)
}

// checkSinks asks the sinks of a graph, or those of the names, whether they can take what comes to them.
func (r *localRun) checkSinks(ctx context.Context, env sabot.Env, graph *bind.Graph, names map[string]bool) error {
	var bad []error
	for _, n := range graph.Nodes {
		c, ok := r.job.Impl(n.Spec.Name).(sabot.Checker)
		if !ok || n.Spec.Kind != sabot.KindSink && n.Spec.Kind != sabot.KindSinkNow || names != nil && !names[n.Spec.Name] {
			continue
		}
		if err := c.Check(ctx, env, n.In[0]); err != nil {
			bad = append(bad, fmt.Errorf("sink %q (%s): %w", n.Spec.Name, n.Spec.At, err))
		}
	}
	return errors.Join(bad...)
}

// fresh returns the root of a new run.
func (r *localRun) fresh(old *pb.Root, graph *bind.Graph, now map[string]described, run string) (*pb.Root, error) {
	plan, err := json.Marshal(r.plan)
	if err != nil {
		return nil, fmt.Errorf("encode the plan: %w", err)
	}
	s := checkpoint.Start{Job: r.plan.Job, Run: run, Plan: plan, Fingerprint: graph.Fingerprint(), Now: r.opt.Clock.Now()}
	s.Sources = r.sources(now)
	if s.Tables, err = engine.Tables(graph, r.job.Impl); err != nil {
		return nil, err
	}
	for _, st := range graph.Stages {
		if st.Keyed() {
			s.Stages = append(s.Stages, &pb.Stage{Id: uint32(st.ID), Partitions: checkpoint.Partitions(r.partitions())})
		}
	}
	return checkpoint.FreshRoot(old, s), nil
}

// partitions returns the number of partitions of a stage that begins.
func (r *localRun) partitions() int { return cmp.Or(r.opt.Partitions, defaultPartitions) }

// sources returns the sources of the plan as they are now, nothing read.
func (r *localRun) sources(now map[string]described) (out []*pb.Source) {
	for _, n := range r.plan.Nodes {
		if n.Kind != sabot.KindSource {
			continue
		}
		src := &pb.Source{Name: n.Name, Schema: engine.SchemaBytes(now[n.Name].schema)}
		for _, sp := range now[n.Name].splits {
			src.Splits = append(src.Splits, &pb.Split{Id: string(sp.ID), Version: sp.Version, Bytes: sp.Bytes, Bounded: sp.Bounded})
		}
		out = append(out, src)
	}
	return out
}

// resumed returns the root by which this process goes on with old, or nil when the run has finished. What differs from the committed job is an
// Invalid error that names all of it.
func (r *localRun) resumed(old *pb.Root, graph *bind.Graph, now map[string]described) (*pb.Root, error) {
	differs := r.otherPartitions(old)
	unread := map[string][]string{}
	for _, src := range r.sources(now) {
		for _, was := range old.Sources {
			if was.Name == src.Name {
				d, more := change.Splits(was, src)
				differs = append(differs, d...)
				unread[src.Name] = more
			}
		}
	}
	if len(differs) > 0 {
		return nil, r.cannotGoOn(differs, undoHelp)
	}
	for name, more := range unread {
		r.notRead(name, more)
	}
	if old.FinishedUs != 0 {
		return nil, nil
	}
	root := checkpoint.TakeOver(old)
	for _, src := range root.Sources {
		src.Unread = unread[src.Name]
	}
	if len(root.Tables) == 0 { // of a version that did not note them
		tables, err := engine.Tables(graph, r.job.Impl)
		if err != nil {
			return nil, err
		}
		root.Tables = tables
	}
	if rows := checkpoint.RowsRead(old); rows > 0 || old.Epoch > 0 {
		r.opt.Notice(fmt.Sprintf("Resuming job %q from checkpoint %d: %s rows read so far.", r.plan.Job, old.Epoch, grouped(rows)))
	}
	return root, nil
}

// moved returns the root of a clone with the outputs of the job as it is here, if it differs in nothing else from what was cloned.
func (r *localRun) moved(old *pb.Root, graph *bind.Graph, schemas map[string]*arrow.Schema) (*pb.Root, error) {
	var was sabot.Plan
	if err := json.Unmarshal(old.Plan, &was); err != nil {
		return nil, sabot.WithKind(sabot.Corrupt, fmt.Errorf("decode the plan of the clone: %w", err))
	}
	place := map[string]string{}
	for _, n := range was.Nodes {
		if n.Sink != nil {
			place[n.Name] = n.Sink.Identity
		}
	}
	there := *r.plan
	there.Nodes = nil
	for _, n := range r.plan.Nodes {
		if n.Sink != nil {
			node, sink := *n, *n.Sink
			sink.Identity = place[n.Name]
			node.Sink, n = &sink, &node
		}
		there.Nodes = append(there.Nodes, n)
	}
	before, err := bind.Bind(&there, r.job.Impl, schemas)
	if err != nil {
		return nil, err
	}
	if before.Fingerprint() != old.Fingerprint {
		return old, nil // in what it differs is said by who resumes it
	}
	plan, err := json.Marshal(r.plan)
	if err != nil {
		return nil, fmt.Errorf("encode the plan: %w", err)
	}
	return checkpoint.Moved(old, plan, graph.Fingerprint()), nil
}

// cannotGoOn is the error of a job that is not as its last checkpoint needs it.
func (r *localRun) cannotGoOn(why []string, help string) error {
	return sabot.WithKind(sabot.Invalid, fmt.Errorf("job %q cannot go on from its last checkpoint in bucket %s:\n  %s\n%s", r.plan.Job, r.opt.Bucket,
		strings.Join(why, "\n  "), help))
}

// otherPartitions says that the job has another number of partitions than was asked for.
func (r *localRun) otherPartitions(old *pb.Root) []string {
	for _, st := range old.Stages {
		if n := len(st.Partitions); !r.mayDiffer && r.opt.Partitions != 0 && r.opt.Partitions != n {
			return []string{fmt.Sprintf("--partitions is %d, the job has %d", r.opt.Partitions, n)}
		}
	}
	return nil
}

// notRead tells of splits that have come since the job's first start.
func (r *localRun) notRead(source string, splits []string) {
	if len(splits) > 0 {
		r.opt.Notice(fmt.Sprintf("Not read, because they came after the job's first start: %s (source %q).", strings.Join(splits, ", "), source))
	}
}

// committedSchemas returns the sources' columns as the root keeps them.
func committedSchemas(root *pb.Root) (map[string]*arrow.Schema, error) {
	out := map[string]*arrow.Schema{}
	for _, s := range root.Sources {
		r, err := ipc.NewReader(bytes.NewReader(s.Schema))
		if err != nil {
			return nil, sabot.WithKind(sabot.Corrupt, fmt.Errorf("decode the columns of source %q: %w", s.Name, err))
		}
		out[s.Name] = r.Schema()
		r.Release()
	}
	return out, nil
}
