package sim

import (
	"context"
	"errors"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstore"
)

// fold is checkpoint.Fold without the rules that the history does without.
func (c *coordinator) fold(root *pb.Root, r *pb.Report) checkpoint.FoldOutcome {
	off, g := c.j.rules, checkpoint.GroupOf(root, r.Group)
	if g == nil {
		return checkpoint.Fold(root, r)
	}
	x := proto.Clone(r).(*pb.Report)
	term, floor, since := root.Term, root.Floor, g.Since
	if off[NoBase] && x.Cut > g.Cut {
		x.Base, x.BaseId = g.Cut, g.CutId
	}
	if off[NoGeneration] {
		x.Generation = g.Generation
	}
	if off[NoSince] {
		g.Since = 0
	}
	if off[NoCutID] && x.Base == g.Cut {
		x.BaseId = g.CutId
	}
	if off[NoRun] {
		x.Run = root.Run
	}
	if off[HalfReport] && c.j.intn(4) == 3 {
		for _, p := range x.Partitions {
			p.Refs = nil
		}
	}
	if off[NoTerm] {
		root.Term = x.Term
	}
	if off[NoFloor] {
		root.Floor = 0
	}
	c.compactions(root, x)
	before, epoch := len(root.Objects), root.Epoch
	out := checkpoint.Fold(root, x)
	root.Term, root.Floor = term, floor
	if out.Reason != checkpoint.Folded {
		g.Since = since
		c.j.stats["refused"]++
		c.j.stats["refused: "+out.Reason.String()]++
		c.j.note("refused cut %d of group %d: %s", r.Cut, r.Group, out)
		return out
	}
	g.Since = since
	c.j.note("folded cut %d of group %d", r.Cut, r.Group)
	if len(r.Compactions) > 0 && len(root.Objects) != before {
		c.j.stats["compactions folded"]++
	}
	for _, k := range r.Compactions {
		if len(k.Outputs) > 0 && slices.Contains(out.Dropped, r.Objects[k.Outputs[0].Object].Key) {
			c.j.stats["compactions too late"]++
		}
	}
	if r.Cut < epoch {
		c.j.stats["folded below the epoch"]++
	}
	if off[DropEarly] {
		c.dropOutputs(root)
	}
	return out
}

// compactions lets compactions through that Fold would drop.
func (c *coordinator) compactions(root *pb.Root, x *pb.Report) {
	off := c.j.rules
	if !off[AppendCompact] && !off[NoInputCheck] {
		return
	}
	var kept []*pb.Compaction
	for _, k := range x.Compactions {
		var p *pb.ReportPartition
		for _, rp := range x.Partitions {
			if rp.Stage == k.Stage && rp.Lo == k.Lo && rp.Hi == k.Hi {
				p = rp
			}
		}
		if p == nil || len(k.Outputs) != 1 {
			kept = append(kept, k)
			continue
		}
		gone := dropInputs(root, x, k)
		if gone == 0 || off[AppendCompact] && gone < len(k.Inputs) {
			continue
		}
		out := proto.Clone(k.Outputs[0]).(*pb.Reference)
		in := k.Inputs[0]
		out.BucketLo, out.BucketHi, out.Lo, out.Hi = in.BucketLo, in.BucketHi, k.Lo, k.Hi
		p.Refs = append(p.Refs, out) // as the newest
	}
	x.Compactions = kept
}

// dropInputs removes a compaction's inputs from root, those that are there, and returns how many that was.
func dropInputs(root *pb.Root, x *pb.Report, k *pb.Compaction) (gone int) {
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			if st.Id != k.Stage || p.Lo != k.Lo || p.Hi != k.Hi {
				continue
			}
			var refs []*pb.Reference
			for _, r := range p.Refs {
				match := false
				for _, in := range k.Inputs {
					match = match || root.Objects[r.Object].Key == x.Objects[in.Object].Key && r.Offset == in.Offset && r.Length == in.Length && r.Table == in.Table
				}
				if match {
					gone++
					continue
				}
				refs = append(refs, r)
			}
			p.Refs = refs
		}
	}
	return gone
}

// dropOutputs forgets outputs as soon as they are closed.
func (c *coordinator) dropOutputs(root *pb.Root) {
	var kept []*pb.Output
	for _, o := range root.Outputs {
		if !o.Closed || c.j.intn(3) > 0 {
			kept = append(kept, o)
		}
	}
	root.Outputs = kept
}

// finishEarly marks a root as finished that is not.
func (c *coordinator) finishEarly(body *pb.Root) {
	if c.j.rules[FinishEarly] && body.Ended && body.FinishedUs == 0 {
		body.FinishedUs = max(1, c.j.now.UnixMicro())
	}
}

// commit is Store.Commit without the rules that the history does without.
func (c *coordinator) commit(body *pb.Root, expected objstore.Version) (objstore.Version, error) {
	ctx, off := context.Background(), c.j.rules
	switch {
	case off[OtherBytes] || off[OwnNonce]:
		return c.commitAgain(body, expected)
	case !off[AmbiguousDone] && !off[RebaseOn412]:
		return c.store.Commit(ctx, body, expected)
	}
	body.Nonce = c.j.name()
	b, err := checkpoint.EncodeRoot(body)
	if err != nil {
		return "", err
	}
	for range 50 {
		v, err := c.store.Bucket.PutIf(ctx, c.j.paths.Current(), b, expected)
		switch {
		case err == nil:
			return v, nil
		case off[AmbiguousDone] && errors.Is(err, objstore.ErrAmbiguous):
			_, at, err := c.j.bucket.Get(ctx, c.j.paths.Current())
			return at, err
		case off[AmbiguousDone] && errors.Is(err, objstore.ErrPrecondition):
			return "", err
		case errors.Is(err, objstore.ErrPrecondition):
			if _, expected, err = c.j.bucket.Get(ctx, c.j.paths.Current()); err != nil {
				return "", err
			}
		}
	}
	return "", objstore.ErrAmbiguous
}

// commitAgain reads back as Store.Commit does, but may send other bytes the next time, or does not know its own when it sees them.
func (c *coordinator) commitAgain(body *pb.Root, expected objstore.Version) (objstore.Version, error) {
	ctx, off := context.Background(), c.j.rules
	for range 50 {
		if body.Nonce == "" || off[OtherBytes] {
			body.Nonce = c.j.name()
		}
		b, err := checkpoint.EncodeRoot(body)
		if err != nil {
			return "", err
		}
		v, err := c.store.Bucket.PutIf(ctx, c.j.paths.Current(), b, expected)
		if err == nil {
			return v, nil
		}
		now, at, err := c.store.Read(ctx)
		switch {
		case err != nil || at == expected:
			continue
		case now.Nonce == body.Nonce && !off[OwnNonce]:
			return at, nil
		}
		return "", sabot.WithKind(sabot.Fenced, errors.New("another root is there"))
	}
	return "", sabot.WithKind(sabot.Retry, objstore.ErrAmbiguous)
}

// widened shows of each reference what its partition has of it, where partitions have changed.
func (c *coordinator) widened(body *pb.Root) {
	if !c.j.rules[WideClips] || len(stageParts(body, 1)) == len(stageParts(c.root, 1)) {
		return
	}
	for _, st := range body.Stages {
		for _, p := range st.Partitions {
			for _, r := range p.Refs {
				r.Lo, r.Hi = p.Lo, p.Hi
			}
		}
	}
}

// foreign returns the objects of other jobs that old names and root does not.
func (c *coordinator) foreign(old, root *pb.Root) (keys []string) {
	for _, k := range checkpoint.Garbage(old, root) {
		if !strings.HasPrefix(k, c.j.paths.Prefix()) {
			keys = append(keys, k)
		}
	}
	return keys
}

// pinnedOnly returns the objects that only pins name.
func pinnedOnly(root *pb.Root) []string {
	c := proto.Clone(root).(*pb.Root)
	checkpoint.DropPins(c, func(*pb.Pin) bool { return true })
	return checkpoint.Collectable(c, checkpoint.Garbage(root, c))
}

// sameContent returns the version that a write has to expect. Where versions are made of the content alone and nothing makes a body unique, that of equal
// bytes is as good.
func (j *job) sameContent(key string, expected objstore.Version) objstore.Version {
	if !j.rules[NoNonce] || key != j.paths.Current() {
		return expected
	}
	b, at, err := j.bucket.Get(context.Background(), key)
	if err != nil {
		return expected
	}
	root, err := checkpoint.DecodeRoot(b)
	if err != nil {
		return expected
	}
	root.Nonce, root.CommittedUs = "", 0
	if b, err = proto.Marshal(root); err != nil {
		return expected
	}
	if j.contents == nil {
		j.contents = map[objstore.Version]string{}
	}
	j.contents[at] = string(b)
	if j.contents[expected] == string(b) {
		return at
	}
	return expected
}
