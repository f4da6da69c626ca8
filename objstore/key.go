package objstore

import (
	"fmt"
	"strings"

	"github.com/sabot-stream/sabot"
)

// maxKey is the longest key that every store takes.
const maxKey = 900

// CheckKey returns an Invalid error for a key that some store could not take, or that would leave the bucket: keys are relative, separated by
// slashes, without empty, "." or ".." elements, control characters or backslashes, and no element begins with a dot.
func CheckKey(key string) error {
	bad := func(why string) error {
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("object key %q: %s", key, why))
	}
	if key == "" || len(key) > maxKey {
		return bad(fmt.Sprintf("its length must be 1 to %d bytes", maxKey))
	}
	for _, r := range key {
		if r < ' ' || r == 0x7f || r == '\\' || r == '\uFFFD' {
			return bad("it has a character that a key cannot have")
		}
	}
	for e := range strings.SplitSeq(key, "/") {
		if e == "" {
			return bad("it has an empty element")
		}
		if e[0] == '.' {
			return bad("an element begins with a dot")
		}
	}
	return nil
}
