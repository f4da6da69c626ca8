package checkpoint

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Quiet tells whether nothing is on its way between the stages of root: every exchange is read, and the partitions of a stage have one watermark.
func Quiet(root *pb.Root) bool {
	if len(root.Exchanges) > 0 {
		return false
	}
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			if p.HasWatermark != st.Partitions[0].HasWatermark || p.WatermarkUs != st.Partitions[0].WatermarkUs {
				return false
			}
		}
	}
	return true
}

// MaxPartitions is the greatest number of partitions of a stage.
const MaxPartitions = 1 << 16

// Repartition divides the hash space of every keyed stage of root, which is in the making and quiet, into n partitions. No state is copied: a
// reference goes to each partition that overlaps it, its clip narrowed to that; where partitions are united, the references of all of them stand side
// by side. New partitions belong to the groups of the old ones that they begin in. Every group must start again from this root.
func Repartition(root *pb.Root, n int) error {
	if n < 1 || n > MaxPartitions {
		return fmt.Errorf("%d partitions: it must be 1 to %d", n, MaxPartitions)
	}
	if !Quiet(root) {
		return errors.New("rows are on their way between stages, or partitions differ in their watermark")
	}
	for _, st := range root.Stages {
		parts := Partitions(n)
		for _, p := range parts {
			p.HasWatermark, p.WatermarkUs = st.Partitions[0].HasWatermark, st.Partitions[0].WatermarkUs
			first := true
			for _, old := range st.Partitions {
				if old.Hi <= p.Lo || p.Hi <= old.Lo {
					continue
				}
				if first {
					p.Group, first = old.Group, false
				}
				p.Refs = append(p.Refs, clipped(old.Refs, p.Lo, p.Hi)...)
			}
			joinClips(p)
		}
		st.Partitions = parts
	}
	dropUnnamed(root)
	return nil
}

// clipped returns copies of the references that show anything of [lo,hi), narrowed to it.
func clipped(refs []*pb.Reference, lo, hi uint64) (out []*pb.Reference) {
	for _, r := range refs {
		if r.Hi <= lo || hi <= r.Lo {
			continue
		}
		c := copyReference(r)
		c.Lo, c.Hi = max(r.Lo, lo), min(r.Hi, hi)
		out = append(out, c)
	}
	return out
}

// joinClips makes one of references to the same bytes whose clips are next to each other, as where partitions that were divided are united again. The
// second of them moves up to the first; so nothing that may have rows of its keys may stand between them, or it would become older than that.
func joinClips(p *pb.Partition) {
	var out []*pb.Reference
	for _, r := range p.Refs {
		i := slices.IndexFunc(out, func(l *pb.Reference) bool {
			return l.Object == r.Object && l.Offset == r.Offset && l.Hi == r.Lo && sameBucket(l, r)
		})
		if i >= 0 && !OlderOverlaps(out[i+1:], r, r.Lo, r.Hi) {
			out[i].Hi = r.Hi
		} else {
			out = append(out, r)
		}
	}
	p.Refs = out
}
