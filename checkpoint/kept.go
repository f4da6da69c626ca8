package checkpoint

import (
	"fmt"
	"strings"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// NewestKept returns the newest pin that is of a checkpoint whose copy can be read, and that is says yes to; nil when there is none.
func NewestKept(root *pb.Root, is func(*pb.Pin) bool) *pb.Pin {
	for i := len(root.Pins) - 1; i >= 0; i-- {
		if p := root.Pins[i]; p.Written && p.Kind != pb.PinKind_CLONE && is(p) {
			return p
		}
	}
	return nil
}

// DescribeKept lists, for people, the checkpoints that a job keeps besides its newest.
func DescribeKept(root *pb.Root) string {
	var all []string
	NewestKept(root, func(p *pb.Pin) bool {
		what := p.Id
		if p.Kind == pb.PinKind_SAVEPOINT {
			what = "savepoint " + p.Name
		}
		all = append(all, fmt.Sprintf("%d (%s)", p.Epoch, what))
		return false
	})
	if len(all) == 0 {
		return fmt.Sprintf("it keeps none besides its newest, %d", root.Epoch)
	}
	return fmt.Sprintf("it keeps %s besides its newest, %d", strings.Join(all, ", "), root.Epoch)
}
