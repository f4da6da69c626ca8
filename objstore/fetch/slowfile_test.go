package fetch

import (
	"os"

	"github.com/sabot-stream/sabot/objstore/diskcache"
)

// slowFile opens files whose pages are written when hold is closed.
func slowFile(hold <-chan struct{}) func(string) (diskcache.File, error) {
	return func(path string) (diskcache.File, error) {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		return held{f, hold}, err
	}
}

type held struct {
	*os.File
	hold <-chan struct{}
}

func (h held) WriteAt(b []byte, off int64) (int, error) {
	if len(b) == page && off > 0 || off == 0 && len(b) == page && h.Name()[len(h.Name())-5:] == "pages" {
		<-h.hold
	}
	return h.File.WriteAt(b, off)
}
