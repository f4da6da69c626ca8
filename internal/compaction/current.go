package compaction

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Current tells whether a root still names all that a task merges as the task says it. When it does not, because a bucket has expired say, what comes of the
// task could not be folded, and its inputs need not be read.
func Current(root *pb.Root, t *pb.CompactionTask) bool {
	k := t.Compaction
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			if st.Id == k.Stage && p.Lo == k.Lo && p.Hi == k.Hi {
				return !slices.ContainsFunc(k.Inputs, func(in *pb.Reference) bool {
					return !slices.ContainsFunc(p.Refs, func(r *pb.Reference) bool {
						return root.Objects[r.Object].Key == t.Objects[in.Object].Key && r.Offset == in.Offset && r.Length == in.Length && r.Table == in.Table &&
							r.BucketLo == in.BucketLo && r.BucketHi == in.BucketHi && r.Lo == in.Lo && r.Hi == in.Hi
					})
				})
			}
		}
	}
	return false
}

// Obsolete returns what a report says of a task that was not run because it is not current: no term has it, so it changes nothing, and the coordinator
// knows that nothing more comes of it.
func Obsolete(t *pb.CompactionTask) *Done {
	k := t.Compaction
	return &Done{Task: &pb.Compaction{Cut: k.Cut, Stage: k.Stage, Lo: k.Lo, Hi: k.Hi, Inputs: proto.Clone(k).(*pb.Compaction).Inputs}, Inputs: t.Objects}
}
