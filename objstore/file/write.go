package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sabot-stream/sabot/objstore"
)

// Put implements objstore.Bucket.
func (b *Bucket) Put(ctx context.Context, key string, body []byte) error {
	p, err := b.path(ctx, key)
	if err != nil {
		return err
	}
	tmp, err := b.temp(body)
	if err != nil {
		return b.explain("write "+key, err)
	}
	defer os.Remove(tmp) // fails after a rename, as it should
	if err := b.mkdir(filepath.Dir(p)); err != nil {
		return b.explain("write "+key, err)
	}
	if err := os.Rename(tmp, p); err != nil {
		return b.explain("write "+key, err)
	}
	return b.syncDir(filepath.Dir(p))
}

// PutIf implements objstore.Bucket. Everything slow is done before the lock is taken.
func (b *Bucket) PutIf(ctx context.Context, key string, body []byte, expected objstore.Version) (objstore.Version, error) {
	p, err := b.path(ctx, key)
	if err != nil {
		return "", err
	}
	tmp, err := b.temp(body)
	if err != nil {
		return "", b.explain("write "+key, err)
	}
	defer os.Remove(tmp)
	if err := b.mkdir(filepath.Dir(p)); err != nil {
		return "", b.explain("write "+key, err)
	}
	unlock, err := lockFile(filepath.Join(filepath.Dir(p), ".CAS"))
	if err != nil {
		return "", b.explain("lock for writing "+key, err)
	}
	defer unlock()
	now, err := os.ReadFile(p)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if expected != objstore.Absent {
			return "", fmt.Errorf("write %s: it does not exist: %w", key, objstore.ErrPrecondition)
		}
		err = os.Link(tmp, p)
		if errors.Is(err, fs.ErrExist) { // somebody who does not lock: Put
			return "", fmt.Errorf("write %s: %w", key, objstore.ErrPrecondition)
		}
	case err != nil:
		return "", b.explain("read "+key, err)
	case versionOf(now) != expected:
		return "", fmt.Errorf("write %s: %w", key, objstore.ErrPrecondition)
	default:
		err = os.Rename(tmp, p)
	}
	if err != nil {
		return "", b.explain("write "+key, err)
	}
	if err := b.syncDir(filepath.Dir(p)); err != nil {
		return "", fmt.Errorf("write %s: %w: %w", key, objstore.ErrAmbiguous, err)
	}
	return versionOf(body), nil
}

// lockFile takes the lock of a file, which it creates if need be. Each call opens the file anew, so it excludes goroutines too.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// temp writes body to a new file of the bucket's, synced, and returns its path.
func (b *Bucket) temp(body []byte) (string, error) {
	f, err := os.CreateTemp(filepath.Join(b.dir, tmpDir), fmt.Sprintf("%d-*", os.Getpid()))
	if err != nil {
		return "", err
	}
	_, err = f.Write(body)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil && !b.opt.NoSync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// mkdir creates the folders of a path below the bucket, and syncs the parents of the new ones.
func (b *Bucket) mkdir(dir string) error {
	b.mu.Lock()
	known := b.known[dir]
	b.mu.Unlock()
	if known {
		if _, err := os.Stat(dir); err == nil {
			return nil
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for d := dir; d != b.dir && len(d) > len(b.dir); d = filepath.Dir(d) {
		if err := b.syncDir(filepath.Dir(d)); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known[dir] = true
	return nil
}

func (b *Bucket) syncDir(dir string) error {
	if b.opt.NoSync {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// sweepTemp removes what writers left behind that died more than a day ago. Failures do not matter: the next opening tries again.
func (b *Bucket) sweepTemp() {
	entries, err := os.ReadDir(filepath.Join(b.dir, tmpDir))
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && b.opt.Clock.Now().Sub(info.ModTime()) > 24*time.Hour {
			os.Remove(filepath.Join(b.dir, tmpDir, e.Name()))
		}
	}
}

// ordered returns entries in the order of the keys below them: a folder's name counts with the slash behind it.
func ordered(entries []os.DirEntry) []os.DirEntry {
	name := func(e os.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(x, y os.DirEntry) int { return cmp.Compare(name(x), name(y)) })
	return entries
}
