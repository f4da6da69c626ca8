package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
)

// input is a file that is being read, local or an object of a bucket.
type input interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Closer
	Size() int64
}

// remote tells whether a location is an object of a bucket, and not a path.
func remote(location string) bool {
	scheme, _, ok := strings.Cut(location, "://")
	return ok && scheme != "file" && !strings.ContainsAny(scheme, "/.*")
}

// split divides a remote URL into that of its bucket and a key.
func splitURL(url string) (bucket, key string) {
	path, query, _ := strings.Cut(url, "?")
	scheme, rest, _ := strings.Cut(path, "://")
	name, key, _ := strings.Cut(rest, "/")
	bucket = scheme + "://" + name
	if query != "" {
		bucket += "?" + query
	}
	return bucket, key
}

// withQuery returns the location of an object by its id, which has no parameters, with those of the URL that it was found by.
func withQuery(id, url string) string {
	if _, query, ok := strings.Cut(url, "?"); ok && remote(id) {
		return id + "?" + query
	}
	return id
}

// openInput opens a location.
func openInput(ctx context.Context, location string) (input, error) {
	if remote(location) {
		return openObject(ctx, location)
	}
	f, err := os.Open(location)
	if err != nil {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open input: %w", err))
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open input %s: %w", location, err)
	}
	return localInput{f, st.Size()}, nil
}

type localInput struct {
	*os.File
	size int64
}

func (l localInput) Size() int64 { return l.size }

// find returns the locations of a URL: one, or those that a glob matches, in order of name.
func find(ctx context.Context, url string) ([]string, error) {
	if remote(url) {
		return findObjects(ctx, url)
	}
	bad := func(format string, args ...any) ([]string, error) {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf(format, args...))
	}
	path := strings.TrimPrefix(url, "file://")
	if path == "" {
		return bad("the source's URL is empty")
	}
	if !strings.ContainsAny(path, globs) {
		st, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return bad("no such file: %s", path)
		case err != nil:
			return bad("open input: %w", err)
		case st.IsDir():
			return bad("%s is a folder; name its files by a glob, such as %s", path, filepath.Join(path, "*.parquet"))
		}
		return []string{filepath.Clean(path)}, nil
	}
	paths, err := doublestar.FilepathGlob(path, doublestar.WithFilesOnly())
	if err != nil {
		return bad("the pattern %s: %w", path, err)
	}
	paths = slices.DeleteFunc(paths, func(p string) bool { return strings.HasPrefix(filepath.Base(p), ".") })
	if len(paths) == 0 {
		base, _ := doublestar.SplitPattern(filepath.ToSlash(path))
		if _, err := os.Stat(base); err != nil {
			return bad("no file matches %s: there is no folder %s", path, base)
		}
		return bad("no file matches %s in the folder %s", path, base)
	}
	slices.Sort(paths)
	return paths, nil
}

// globs are the characters that make a name a pattern.
const globs = "*?[{"

// findObjects is find for a bucket. Locations come without the URL's parameters.
func findObjects(ctx context.Context, url string) ([]string, error) {
	root, pattern := splitURL(url)
	if pattern == "" || !doublestar.ValidatePattern(pattern) {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("%s names no object and is no good pattern", url))
	}
	ctx = context.WithoutCancel(ctx) // a description asks once, and gives up by the store's own limits
	b, err := bucketurl.Open(ctx, root)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	prefix := pattern
	if i := strings.IndexAny(pattern, globs); i >= 0 {
		prefix = pattern[:i]
	}
	base, _, _ := strings.Cut(root, "?")
	var found []string
	for o, err := range b.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", url, err)
		}
		if ok, err := doublestar.Match(pattern, o.Key); ok && err == nil {
			found = append(found, base+"/"+o.Key)
		}
	}
	if len(found) == 0 {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("no object matches %s", url))
	}
	return found, nil
}

// Objects are read in blocks, of which a few are kept: formats go back and forth.
const (
	blockBytes = 4 << 20
	keptBlocks = 6
)

// objectInput is an object that is being read.
type objectInput struct {
	bucket objstore.Bucket
	key    string
	size   int64
	pos    int64
	blocks []block // the last used one last
}

type block struct {
	at   int64
	data []byte
}

func openObject(ctx context.Context, location string) (input, error) {
	root, key := splitURL(location)
	ctx = context.WithoutCancel(ctx)
	b, err := bucketurl.Open(ctx, root)
	if err != nil {
		return nil, err
	}
	for o, err := range b.List(ctx, key) {
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open input %s: %w", location, err), b.Close())
		}
		if o.Key == key {
			return &objectInput{bucket: b, key: key, size: o.Size}, nil
		}
		break // the object itself would be the first
	}
	return nil, errors.Join(sabot.WithKind(sabot.Invalid, fmt.Errorf("no such object: %s", location)), b.Close())
}

func (o *objectInput) Size() int64 { return o.size }

func (o *objectInput) Close() error { return o.bucket.Close() }

// ReadAt implements io.ReaderAt.
func (o *objectInput) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && off+int64(n) < o.size {
		b, err := o.block((off + int64(n)) / blockBytes * blockBytes)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], b.data[off+int64(n)-b.at:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// block returns the block that begins at an offset.
func (o *objectInput) block(at int64) (block, error) {
	if i := slices.IndexFunc(o.blocks, func(b block) bool { return b.at == at }); i >= 0 {
		b := o.blocks[i]
		o.blocks = append(slices.Delete(o.blocks, i, i+1), b)
		return b, nil
	}
	data, err := o.bucket.GetRange(context.Background(), o.key, at, min(blockBytes, o.size-at))
	if err != nil {
		return block{}, err
	}
	if len(o.blocks) == keptBlocks {
		o.blocks = slices.Delete(o.blocks, 0, 1)
	}
	o.blocks = append(o.blocks, block{at, data})
	return o.blocks[len(o.blocks)-1], nil
}

// Read implements io.Reader.
func (o *objectInput) Read(p []byte) (int, error) {
	n, err := o.ReadAt(p, o.pos)
	o.pos += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// Seek implements io.Seeker.
func (o *objectInput) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += o.pos
	case io.SeekEnd:
		offset += o.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to %d in %s", offset, o.key)
	}
	o.pos = offset
	return offset, nil
}
