package bind

import (
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
)

// Graph is a plan with columns, types and stages.
type Graph struct {
	Plan   *sabot.Plan
	Nodes  []*Node // in the plan's order
	Stages []*Stage
	timed  []bool // by node id: its rows have an event time
}

// Node is a node of the plan.
type Node struct {
	Spec  *sabot.Node
	In    []*arrow.Schema // one per input
	Out   *arrow.Schema   // of a source: the columns that are read; nil for sinks
	Stage int
	State []sabot.StateDecl // of a process function
}

// Stage is the nodes between two changes of key.
type Stage struct {
	ID        int
	Nodes     []*Node // in the plan's order, sources included
	Sources   []*Node
	Inputs    []*Edge // none in stage 0
	KeyFields []arrow.Field
}

// Keyed tells whether the stage has keys, and so partitions.
func (s *Stage) Keyed() bool { return len(s.Inputs) > 0 }

// Edge is an exchange by key.
type Edge struct {
	From *Node // the KeyBy, a node of the producing stage
}

// Fields returns the fields of a schema by name; all are there.
func Fields(s *arrow.Schema, names []string) []arrow.Field {
	out := make([]arrow.Field, len(names))
	for i, n := range names {
		out[i] = s.Field(s.FieldIndices(n)[0])
	}
	return out
}

// Bind binds a plan; schemas are the columns that each source can give, by its name. The error is Invalid and names all that is wrong.
func Bind(plan *sabot.Plan, impl func(node string) any, schemas map[string]*arrow.Schema) (*Graph, error) {
	first := &binder{plan: plan, impl: impl, schemas: schemas}
	first.run()
	if len(first.bad) > 0 {
		return nil, sabot.WithKind(sabot.Invalid, errors.Join(first.bad...))
	}
	again := &binder{plan: plan, impl: impl, schemas: first.projected()}
	again.run()
	if len(again.bad) > 0 {
		return nil, sabot.WithKind(sabot.Internal, fmt.Errorf("bind the columns in use: %w", errors.Join(again.bad...)))
	}
	g := &Graph{Plan: plan, Nodes: again.nodes, timed: again.timed}
	if err := g.cut(); err != nil {
		return nil, sabot.WithKind(sabot.Invalid, err)
	}
	return g, nil
}

// cut divides the nodes into stages.
func (g *Graph) cut() error {
	g.Stages = []*Stage{{}}
	behind := map[int]int{} // stage behind a KeyBy
	var bad []error
	for _, n := range g.Nodes {
		stages := []int{}
		for _, in := range n.Spec.Inputs {
			from := g.Nodes[in].Stage
			if s, ok := behind[in]; ok {
				from = s
			}
			if !slices.Contains(stages, from) {
				stages = append(stages, from)
			}
		}
		if len(stages) > 1 {
			bad = append(bad, fmt.Errorf("%s: %q joins streams that are divided by key in different ways; this version can unite them only before KeyBy",
				n.Spec.At, n.Spec.Name))
		}
		if len(stages) > 0 {
			n.Stage = stages[0]
		}
		st := g.Stages[n.Stage]
		st.Nodes = append(st.Nodes, n)
		switch n.Spec.Kind {
		case sabot.KindSource:
			st.Sources = append(st.Sources, n)
		case sabot.KindKeyBy:
			behind[n.Spec.ID] = len(g.Stages)
			g.Stages = append(g.Stages, &Stage{ID: len(g.Stages), Inputs: []*Edge{{From: n}}, KeyFields: Fields(n.Out, n.Spec.Key)})
		}
	}
	return errors.Join(bad...)
}

// Timed tells whether the rows of a node have an event time.
func (g *Graph) Timed(n *Node) bool { return g.timed[n.Spec.ID] }
