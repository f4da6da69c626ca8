// Package file is a bucket in a folder of a local file system, safe across processes of one machine.
//
// An object is a file at its key. What is not an object has a name that begins with a dot, which no key's element may:
//
//	.tmp/           files being written, one folder per bucket
//	x/.CAS          lock file beside the objects of folder x that are written conditionally; never renamed or removed
//	x/.LEADER       who leads the job of folder x, see Lead
//
// A write goes to .tmp, is synced, and renamed (or linked, where it must not replace anything) to its key; then the folders are synced, new
// ones upward first. So a reader sees an object whole or not at all, and what Put has returned for survives a crash of the machine.
//
// A conditional write compares and renames under a lock of the folder's .CAS file; its version is a hash of the content. Network file systems
// do not keep what flock, rename and sync promise: they are refused unless forced.
package file

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
)

// Options of a bucket; the zero value is what production wants.
type Options struct {
	ReadOnly bool        // for those who only look: nothing is made in the folder, which must be there
	Force    bool        // allow network file systems
	NoSync   bool        // do not sync: tests and benchmarks that a machine's crash does not concern
	Clock    clock.Clock // nil: the wall clock
}

// Bucket is a folder.
type Bucket struct {
	dir string
	opt Options

	mu    sync.Mutex
	known map[string]bool // folders that are there and synced
}

// Open opens the bucket in a folder, and creates that if need be.
func Open(dir string, opt Options) (*Bucket, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", dir, err)
	}
	if opt.Clock == nil {
		opt.Clock = clock.Real()
	}
	b := &Bucket{dir: abs, opt: opt, known: map[string]bool{}}
	if opt.ReadOnly {
		if err := b.checkFS(); err != nil {
			return nil, err
		}
		return b, nil
	}
	if err := os.MkdirAll(filepath.Join(abs, tmpDir), 0o755); err != nil {
		return nil, b.explain("open bucket "+abs, err)
	}
	if err := b.checkFS(); err != nil {
		return nil, err
	}
	b.sweepTemp()
	return b, nil
}

const tmpDir = ".tmp"

// Magic numbers of file systems that do not keep local promises.
var networkFS = map[int64]string{0x6969: "NFS", 0x517b: "SMB", 0xff534d42: "CIFS", 0xfe534d42: "SMB2", 0x65735546: "FUSE", 0x01021997: "9p"}

func (b *Bucket) checkFS() error {
	var st unix.Statfs_t
	if err := unix.Statfs(b.dir, &st); err != nil {
		return b.explain("open bucket "+b.dir, err)
	}
	if name, bad := networkFS[int64(st.Type)&0xffffffff]; bad && !b.opt.Force {
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("open bucket %s: it lies on %s, where locks and renames do not promise what commits need; "+
			"choose a local folder, or append ?force=true to the URL if you know better", b.dir, name))
	}
	return nil
}

// explain adds to an error of the file system what the user can do, and its kind.
func (b *Bucket) explain(doing string, err error) error {
	advice := ""
	switch {
	case errors.Is(err, fs.ErrPermission):
		advice = ": give this user the right to write there, or choose another --bucket"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		advice = ": the disk is full; free space and start the job again, it goes on from its last checkpoint"
	case errors.Is(err, syscall.EROFS):
		advice = ": the file system is read-only; choose another --bucket"
	case errors.Is(err, syscall.ENOTDIR):
		advice = ": a file stands where a folder is needed; choose another --bucket"
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
	return sabot.WithKind(sabot.Invalid, fmt.Errorf("%s: %w%s", doing, err, advice))
}

func (b *Bucket) path(ctx context.Context, key string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := objstore.CheckKey(key); err != nil {
		return "", err
	}
	return filepath.Join(b.dir, filepath.FromSlash(key)), nil
}

func (b *Bucket) readError(key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) {
		return fmt.Errorf("read %s: %w", key, objstore.ErrNotFound)
	}
	return b.explain("read "+key, err)
}

func versionOf(body []byte) objstore.Version {
	h := xxh3.Hash128(body).Bytes()
	return objstore.Version(hex.EncodeToString(h[:]))
}

// Get implements objstore.Bucket.
func (b *Bucket) Get(ctx context.Context, key string) ([]byte, objstore.Version, error) {
	p, err := b.path(ctx, key)
	if err != nil {
		return nil, "", err
	}
	body, err := os.ReadFile(p)
	if err != nil {
		return nil, "", b.readError(key, err)
	}
	return body, versionOf(body), nil
}

// OpenObject implements objstore.Opener.
func (b *Bucket) OpenObject(ctx context.Context, key string) (objstore.ObjectReader, error) {
	f, _, err := b.open(ctx, key)
	if err != nil {
		return nil, err // not a nil *os.File in an interface
	}
	return f, nil
}

func (b *Bucket) open(ctx context.Context, key string) (*os.File, fs.FileInfo, error) {
	p, err := b.path(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	f, err := os.Open(p)
	if err != nil {
		return nil, nil, b.readError(key, err)
	}
	st, err := f.Stat()
	if err != nil || st.IsDir() {
		_ = f.Close() // nothing was written
		return nil, nil, b.readError(key, errors.Join(err, syscall.EISDIR))
	}
	return f, st, nil
}

// GetRange implements objstore.Bucket.
func (b *Bucket) GetRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	f, st, err := b.open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if off < 0 || n < 0 || n > st.Size()-off {
		return nil, fmt.Errorf("read %s at %d, %d bytes of %d: %w", key, off, n, st.Size(), io.ErrUnexpectedEOF)
	}
	body := make([]byte, n)
	if _, err := f.ReadAt(body, off); err != nil && !errors.Is(err, io.EOF) {
		return nil, b.readError(key, err)
	}
	return body, nil
}

// List implements objstore.Bucket.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		err := b.walk(ctx, "", prefix, yield)
		if err != nil && !errors.Is(err, errStop) {
			yield(objstore.Object{}, err)
		}
	}
}

var errStop = errors.New("the listing's reader has enough")

// walk yields the objects of a folder (ending in a slash, or empty) whose keys begin with prefix, in order of key.
func (b *Bucket) walk(ctx context.Context, folder, prefix string, yield func(objstore.Object, error) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(b.dir, filepath.FromSlash(folder)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return b.explain("list "+folder, err)
	}
	for _, e := range ordered(entries) {
		key := folder + e.Name()
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if e.IsDir() {
			key += "/"
			if !strings.HasPrefix(key, prefix) && !strings.HasPrefix(prefix, key) {
				continue
			}
			if err := b.walk(ctx, key, prefix, yield); err != nil {
				return err
			}
			continue
		}
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone meanwhile
		}
		if err != nil {
			return b.explain("list "+key, err)
		}
		if !yield(objstore.Object{Key: key, Size: info.Size()}, nil) {
			return errStop
		}
	}
	return nil
}

// Delete implements objstore.Bucket.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	p, err := b.path(ctx, key)
	if err != nil {
		return err
	}
	if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return b.explain("delete "+key, err)
	}
	return nil
}

// Limits implements objstore.Bucket.
func (b *Bucket) Limits() objstore.Limits { return objstore.Limits{} }

// Close implements objstore.Bucket.
func (b *Bucket) Close() error { return nil }
