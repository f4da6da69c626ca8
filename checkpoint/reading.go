package checkpoint

import (
	"cmp"
	"slices"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Reading is how far the partitions of one stage that one group owns have read the exchanges that are sent to it. One goroutine uses it.
type Reading struct {
	Stage uint32
	Parts []*ReadPart // ascending by hash
}

// ReadPart is one partition, and the last cut that it has read of each group.
type ReadPart struct {
	Lo, Hi uint64
	Read   map[uint32]uint64
}

// NewReading returns how far a group's partitions have read as of root.
func NewReading(root *pb.Root, stage, group uint32) *Reading {
	r := &Reading{Stage: stage}
	for _, st := range root.Stages {
		if st.Id != stage {
			continue
		}
		for _, p := range st.Partitions {
			if p.Group != group {
				continue
			}
			x := &ReadPart{Lo: p.Lo, Hi: p.Hi, Read: map[uint32]uint64{}}
			for _, in := range p.Inputs {
				x.Read[in.Group] = in.Cut
			}
			r.Parts = append(r.Parts, x)
		}
	}
	return r
}

// Next returns the exchange of the lowest cut that some partition has not read, nil when there is none.
func (r *Reading) Next(root *pb.Root) *pb.Exchange {
	var least *pb.Exchange
	for _, e := range root.Exchanges {
		if e.Stage != r.Stage || least != nil && least.Cut <= e.Cut {
			continue
		}
		if slices.ContainsFunc(r.Parts, func(p *ReadPart) bool { return p.Read[e.Group] < e.Cut }) {
			least = e
		}
	}
	return least
}

// Done notes that everything that a group sent at a cut, to all inputs of the stage, is read.
func (r *Reading) Done(group uint32, cut uint64) {
	for _, p := range r.Parts {
		p.Read[group] = max(p.Read[group], cut)
	}
}

// Wants tells whether a partition has yet to read a block of an exchange.
func (r *Reading) Wants(e *pb.Exchange, b *pb.Block) bool {
	return slices.ContainsFunc(r.Parts, func(p *ReadPart) bool { return p.Lo < b.Hi && b.Lo < p.Hi && p.Read[e.Group] < e.Cut })
}

// Span returns the run of blocks from the first to the last that a partition has yet to read, and where they lie.
func (r *Reading) Span(e *pb.Exchange) (from, to int, off, n int64) {
	at := e.Offset
	for i, b := range e.Blocks {
		if r.Wants(e, b) {
			if from == to {
				from, off, n = i, at, 0
			}
			to = i + 1
			n = at + b.Length - off
		}
		at += b.Length
	}
	return from, to, off, n
}

// Takes tells whether a row of an exchange is to be read: its hash lies in a partition, and that has not read the exchange.
func (r *Reading) Takes(e *pb.Exchange, hash uint32) bool {
	i, found := slices.BinarySearchFunc(r.Parts, uint64(hash), func(p *ReadPart, h uint64) int { return cmp.Compare(p.Lo, h) })
	if !found {
		i--
	}
	return i >= 0 && uint64(hash) < r.Parts[i].Hi && r.Parts[i].Read[e.Group] < e.Cut
}

// Inputs returns the partition's positions as a report says them.
func (p *ReadPart) Inputs() (out []*pb.Input) {
	for g, cut := range p.Read {
		out = append(out, &pb.Input{Group: g, Cut: cut})
	}
	slices.SortFunc(out, func(a, b *pb.Input) int { return cmp.Compare(a.Group, b.Group) })
	return out
}
