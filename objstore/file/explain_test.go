package file

import (
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/sabot-stream/sabot"
)

func TestExplain(t *testing.T) {
	b := &Bucket{dir: "/d"}
	for _, c := range []struct {
		err    error
		advice string
		kind   sabot.Kind
	}{
		{&fs.PathError{Op: "open", Path: "p", Err: syscall.EACCES}, "give this user the right to write there", sabot.Invalid},
		{&fs.PathError{Op: "write", Path: "p", Err: syscall.ENOSPC}, "free space and start the job again", sabot.Invalid},
		{&fs.PathError{Op: "write", Path: "p", Err: syscall.EDQUOT}, "free space and start the job again", sabot.Invalid},
		{&fs.PathError{Op: "write", Path: "p", Err: syscall.EROFS}, "read-only", sabot.Invalid},
		{&fs.PathError{Op: "mkdir", Path: "p", Err: syscall.ENOTDIR}, "a file stands where a folder is needed", sabot.Invalid},
		{&fs.PathError{Op: "read", Path: "p", Err: syscall.EIO}, "input/output error", sabot.Internal},
	} {
		got := b.explain("write k", fmt.Errorf("more: %w", c.err))
		if !strings.HasPrefix(got.Error(), "write k: ") || !strings.Contains(got.Error(), c.advice) || sabot.KindOf(got) != c.kind {
			t.Errorf("%v is explained as %q of kind %s, want %q of kind %s", c.err, got, sabot.KindOf(got), c.advice, c.kind)
		}
	}
}
