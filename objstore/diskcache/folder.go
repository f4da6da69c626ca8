package diskcache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"
)

const (
	// mostProcesses is how many processes of one machine can each have pages of one bucket.
	mostProcesses = 256
	// forgottenAfter is how long pages that no process uses stay on the disk.
	forgottenAfter = 7 * 24 * time.Hour
)

// folder is one that this process has to itself.
type folder struct {
	path string
	lock *os.File
}

func identityOf(bucket string) string {
	h := xxh3.HashString128(bucket).Bytes()
	return fmt.Sprintf("%x", h[:8])
}

// claim takes the first folder of a bucket that no live process has.
func claim(dir, bucket string) (*folder, error) {
	for n := range mostProcesses {
		path := filepath.Join(dir, identityOf(bucket), strconv.Itoa(n))
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, err
		}
		lock, err := tryLock(path)
		if lock != nil {
			return &folder{path, lock}, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%d processes of this machine use it already", mostProcesses)
}

// tryLock returns nil when another process has the folder.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = nil
	}
	return nil, errors.Join(err, f.Close())
}

// sweep removes pages that no process has used for long, of this bucket and of others. What it cannot remove stays.
func sweep(dir string, now time.Time) {
	paths, err := filepath.Glob(filepath.Join(dir, "????????????????", "*", "pages"))
	if err != nil {
		return
	}
	for _, pages := range paths {
		path := filepath.Dir(pages)
		if _, err := strconv.Atoi(filepath.Base(path)); err != nil || now.Sub(lastUsed(path)) < forgottenAfter {
			continue
		}
		if lock, err := tryLock(path); lock != nil && err == nil {
			_ = os.Remove(pages)
			_ = os.Remove(filepath.Join(path, "index"))
			_ = lock.Close() // nothing was written
		}
	}
}

// lastUsed returns when a process last took a folder or wrote pages.
func lastUsed(path string) (t time.Time) {
	for _, name := range []string{"lock", "pages"} {
		if st, err := os.Stat(filepath.Join(path, name)); err == nil && st.ModTime().After(t) {
			t = st.ModTime()
		}
	}
	return t
}

// Room returns the bytes that a cache under dir may have without asking: a quarter of what is free there and of what caches there hold already.
func Room(dir string) (int64, error) {
	at := dir
	var st unix.Statfs_t
	for {
		err := unix.Statfs(at, &st)
		if err == nil {
			break
		}
		if parent := filepath.Dir(at); errors.Is(err, unix.ENOENT) && parent != at {
			at = parent
			continue
		}
		return 0, fmt.Errorf("look for free space in %s: %w", dir, err)
	}
	room := int64(st.Bavail) * int64(st.Bsize)
	paths, _ := filepath.Glob(filepath.Join(dir, "????????????????", "*", "pages")) // the pattern is right
	for _, p := range paths {
		var st unix.Stat_t
		if unix.Stat(p, &st) == nil {
			room += st.Blocks * 512
		}
	}
	return room / 4, nil
}
