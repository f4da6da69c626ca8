package run

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/bind"
	"github.com/sabot-stream/sabot/internal/change"
	"github.com/sabot-stream/sabot/internal/engine"
)

// changed returns the root by which the job goes on from old, which is of another graph. What cannot be done, or loses something without leave, is an
// Invalid error that lists all of it.
func (r *localRun) changed(ctx context.Context, env sabot.Env, old *pb.Root, now map[string]described) (*bind.Graph, *pb.Root, error) {
	if err := r.mayChange(old); err != nil {
		return nil, nil, err
	}
	graph, d, err := r.decide(old, now)
	if err != nil {
		return nil, nil, err
	}
	if r.opt.Drain {
		return nil, nil, r.cannotGoOn(changes(d, change.Refused, change.Drain, change.Dropped, change.Changed, change.New, change.Removed),
			"--drain is for the program of before: this one has another graph")
	}
	if other := r.otherPartitions(old); len(other) > 0 {
		return nil, nil, r.cannotGoOn(other, "Leave it out: the job keeps its own")
	}
	if err := r.allowed(d); err != nil {
		return nil, nil, err
	}
	fresh := map[string]bool{} // what is kept keeps its sink
	for _, i := range append(d.Of(change.New), d.Of(change.Changed)...) {
		fresh[i.Operator] = true
	}
	if err := r.checkSinks(ctx, env, graph, fresh); err != nil {
		return nil, nil, err
	}
	plan, err := json.Marshal(r.plan)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the plan: %w", err)
	}
	root := d.Root(old, plan, graph.Fingerprint())
	r.opt.Notice(fmt.Sprintf("Job %q goes on from checkpoint %d with another graph: %s rows read so far.", r.plan.Job, old.Epoch, grouped(checkpoint.RowsRead(old))))
	for _, text := range changes(d, change.Changed, change.New, change.Removed, change.Dropped) {
		r.opt.Notice("  " + text)
	}
	for _, src := range root.Sources {
		r.notRead(src.Name, src.Unread)
	}
	return graph, root, nil
}

// mayChange refuses to change the graph in a process that stood by while another one changed it: it would take that back.
func (r *localRun) mayChange(old *pb.Root) error {
	if r.stoodBy == "" || r.stoodBy == old.Fingerprint {
		return nil
	}
	var was sabot.Plan
	if err := json.Unmarshal(old.Plan, &was); err != nil {
		return sabot.WithKind(sabot.Corrupt, fmt.Errorf("decode the plan of the last checkpoint: %w", err))
	}
	why := bind.Diff(&was, r.plan)
	if len(why) == 0 {
		why = []string{"the columns or types of an operator are others"}
	}
	return r.cannotGoOn(why, "The job was changed to that graph while this process stood by; start it again to change the job to its own")
}

// decide binds the job to what its sources are now, and compares it with old.
func (r *localRun) decide(old *pb.Root, now map[string]described) (*bind.Graph, change.Decision, error) {
	graph, err := bind.Bind(r.plan, r.job.Impl, schemasOf(now))
	if err != nil {
		return nil, change.Decision{}, err
	}
	tables, err := engine.Tables(graph, r.job.Impl)
	if err != nil {
		return nil, change.Decision{}, err
	}
	job := change.Job{Plan: r.plan, Tables: tables, Sources: r.sources(now), Sinks: map[string][]byte{}, Partitions: r.partitions()}
	for _, n := range graph.Nodes {
		if n.Spec.Kind == sabot.KindSink {
			job.Sinks[n.Spec.Name] = engine.SchemaBytes(n.In[0])
		}
	}
	for _, st := range graph.Stages {
		if st.Keyed() {
			job.Stages = append(job.Stages, inflow(graph, st))
		}
	}
	d, err := change.Decide(old, job)
	return graph, d, err
}

// inflow tells what feeds a keyed stage.
func inflow(g *bind.Graph, st *bind.Stage) change.Stage {
	out := change.Stage{ID: uint32(st.ID)}
	for _, e := range st.Inputs {
		if e.From.Stage > 0 {
			out.From = append(out.From, uint32(e.From.Stage))
			continue
		}
		todo := []*bind.Node{e.From}
		for len(todo) > 0 {
			n := todo[0]
			todo = todo[1:]
			if n.Spec.Kind == sabot.KindSource && !slices.Contains(out.Sources, n.Spec.Name) {
				out.Sources = append(out.Sources, n.Spec.Name)
			}
			for _, in := range n.Spec.Inputs {
				todo = append(todo, g.Nodes[in])
			}
		}
	}
	return out
}

// How a change that does not go through is helped.
const (
	undoHelp  = "Undo the change to go on, choose another --bucket, or start over with --fresh"
	drainHelp = "Start the program of before once more, with --drain, which reads nothing new and brings this to its end; where it runs as a cluster, " +
		"use sabot stop --drain. Then start this one"
	lossHelp = "Undo the change to go on, lose that and go on with --allow-state-loss (a savepoint made before is a way back: sabot savepoint create NAME), " +
		"or start over with --fresh"
)

// allowed returns an error unless a change can be done, and may be.
func (r *localRun) allowed(d change.Decision) error {
	switch d.Verdict() {
	case change.Refused:
		return r.cannotGoOn(changes(d, change.Refused, change.Drain, change.Dropped), undoHelp)
	case change.Drain:
		return r.cannotGoOn(changes(d, change.Drain, change.Dropped), drainHelp)
	case change.Dropped:
		if !r.opt.AllowStateLoss {
			return r.cannotGoOn(changes(d, change.Dropped), lossHelp)
		}
	}
	return nil
}

// changes says the items of some outcomes, a line for each.
func changes(d change.Decision, of ...change.Outcome) (lines []string) {
	for _, o := range of {
		for _, i := range d.Of(o) {
			lines = append(lines, strings.TrimSuffix(i.String(), ": "))
		}
	}
	return lines
}
