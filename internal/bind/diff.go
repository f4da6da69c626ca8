package bind

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/sabot-stream/sabot"
)

// Fingerprint is a hash of what a resumed job must agree with: the graph, its options, and the columns of every node.
func (g *Graph) Fingerprint() string {
	h := xxh3.New()
	for _, n := range g.Nodes {
		spec, err := json.Marshal(n.Spec)
		if err != nil { // plans are made of strings, numbers and lists
			panic(fmt.Sprintf("encode node %q: %v", n.Spec.Name, err))
		}
		_, _ = h.Write(spec) // a hash takes everything
		if n.Out != nil {
			_, _ = h.WriteString(describe(n.Out))
		}
	}
	sum := h.Sum128().Bytes()
	return hex.EncodeToString(sum[:])
}

// Describe tells a person the stages, their operators and columns.
func (g *Graph) Describe() string {
	var b strings.Builder
	for _, st := range g.Stages {
		fmt.Fprintf(&b, "stage %d", st.ID)
		if st.Keyed() {
			keys := make([]string, len(st.KeyFields))
			for i, f := range st.KeyFields {
				keys[i] = f.Name
			}
			fmt.Fprintf(&b, ", by %s", strings.Join(keys, ", "))
		}
		b.WriteByte('\n')
		for _, n := range st.Nodes {
			fmt.Fprintf(&b, "  %-9s %s", n.Spec.Kind, n.Spec.Name)
			if n.Out != nil {
				fmt.Fprintf(&b, " -> %s", describe(n.Out))
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// Diff says in what two plans differ, a line for each difference.
func Diff(was, now *sabot.Plan) []string {
	var out []string
	find := func(p *sabot.Plan, name string) *sabot.Node {
		i := slices.IndexFunc(p.Nodes, func(n *sabot.Node) bool { return n.Name == name })
		if i < 0 {
			return nil
		}
		return p.Nodes[i]
	}
	for _, a := range was.Nodes {
		b := find(now, a.Name)
		switch {
		case b == nil:
			out = append(out, fmt.Sprintf("the %s %q is gone", a.Kind, a.Name))
		case a.Kind != b.Kind:
			out = append(out, fmt.Sprintf("%q was a %s and is a %s", a.Name, a.Kind, b.Kind))
		case !slices.Equal(inputs(was, a), inputs(now, b)):
			out = append(out, fmt.Sprintf("the %s %q took the rows of %s and takes those of %s", a.Kind, a.Name,
				strings.Join(inputs(was, a), ", "), strings.Join(inputs(now, b), ", ")))
		default:
			out = append(out, nodeDiff(a, b)...)
		}
	}
	for _, b := range now.Nodes {
		if find(was, b.Name) == nil {
			out = append(out, fmt.Sprintf("the %s %q is new", b.Kind, b.Name))
		}
	}
	if order, now := nodeNames(was), nodeNames(now); len(out) == 0 && !slices.Equal(order, now) {
		out = append(out, fmt.Sprintf("the operators were built in the order %s and are in the order %s",
			strings.Join(order, ", "), strings.Join(now, ", ")))
	}
	return out
}

func nodeNames(p *sabot.Plan) []string {
	out := make([]string, len(p.Nodes))
	for i, n := range p.Nodes {
		out[i] = n.Name
	}
	return out
}

func inputs(p *sabot.Plan, n *sabot.Node) []string {
	out := make([]string, len(n.Inputs))
	for i, in := range n.Inputs {
		out[i] = p.Nodes[in].Name
	}
	return out
}

func nodeDiff(a, b *sabot.Node) []string {
	if a.Kind == sabot.KindSource && a.Source.Identity != b.Source.Identity {
		return []string{fmt.Sprintf("the input of source %q was %s and is %s", a.Name, a.Source.Identity, b.Source.Identity)}
	}
	if a.Sink != nil && b.Sink != nil && a.Sink.Identity != b.Sink.Identity {
		return []string{fmt.Sprintf("the output of sink %q was %s and is %s", a.Name, a.Sink.Identity, b.Sink.Identity)}
	}
	x, y := *a, *b
	x.ID, y.ID, x.Inputs, y.Inputs = 0, 0, nil, nil
	was, err1 := json.Marshal(x)
	now, err2 := json.Marshal(y)
	if err1 != nil || err2 != nil || bytes.Equal(was, now) {
		return nil
	}
	return []string{fmt.Sprintf("the options of the %s %q were %s and are %s", a.Kind, a.Name, was, now)}
}
