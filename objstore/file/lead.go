package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sabot-stream/sabot/objstore"
)

// touchEvery is how often a leader shows life.
const touchEvery = time.Second

// Lead implements objstore.Locker with the file .LEADER in the job's folder: it is locked for as long as its process lives, and its content,
// "start pid nonce host", is written anew each second. Free, it is taken at once. Locked and not touched while we look on for the
// lease, its process is stopped: we write our own name and wait for the lock beside our work.
func (b *Bucket) Lead(ctx context.Context, prefix string, lease time.Duration, force bool) (objstore.Leadership, error) {
	dir, err := b.path(ctx, strings.TrimSuffix(prefix, "/"))
	if err != nil {
		return nil, err
	}
	if err := b.mkdir(dir); err != nil {
		return nil, b.explain("lead "+prefix, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, ".LEADER"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, b.explain("lead "+prefix, err)
	}
	host, _ := os.Hostname() // only for people
	l := &leadership{file: f, bucket: b, lost: make(chan struct{}), stop: make(chan struct{}), start: b.opt.Clock.Now(), name: fmt.Sprintf("%d %s %s",
		os.Getpid(), b.opt.Clock.Random(4), host)}
	if err := l.acquire(ctx, lease, force); err != nil {
		f.Close()
		return nil, err
	}
	if err := l.touch(); err != nil {
		f.Close()
		return nil, b.explain("lead "+prefix, err)
	}
	l.wg.Go(l.run)
	return l, nil
}

type leadership struct {
	file   *os.File
	bucket *Bucket
	name   string
	start  time.Time
	lost   chan struct{}
	stop   chan struct{}
	once   sync.Once
	wg     sync.WaitGroup
	locked bool
}

// acquire returns nil when this process may lead.
func (l *leadership) acquire(ctx context.Context, lease time.Duration, force bool) error {
	if l.tryLock() || force {
		return nil
	}
	c := l.bucket.opt.Clock
	seen, quiet := l.mark(), time.Duration(0)
	for quiet < lease {
		step := min(touchEvery/2, lease)
		was := c.Now()
		if err := c.Sleep(ctx, step); err != nil {
			return err
		}
		if l.tryLock() {
			return nil
		}
		now := l.mark()
		if now != seen {
			return &objstore.HeldError{Owner: now.owner(), Since: now.since(), Seen: 0}
		}
		if c.Now().Sub(was) > 2*step+time.Second {
			quiet = 0 // we were stopped ourselves: what we did not see proves nothing
			continue
		}
		quiet += step
	}
	return nil
}

func (l *leadership) tryLock() bool {
	l.locked = unix.Flock(int(l.file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
	return l.locked
}

// mark is the content of the file: "counter start pid nonce host".
type mark string

func (l *leadership) mark() mark {
	var b [512]byte
	n, _ := l.file.ReadAt(b[:], 0) // an empty mark is as good as an unreadable one
	return mark(strings.TrimRight(string(b[:n]), "\x00 \n"))
}

func (m mark) field(i int) string {
	if f := strings.Fields(string(m)); i < len(f) {
		return f[i]
	}
	return "?"
}

func (m mark) owner() string { return "process " + m.field(2) + " on " + m.field(4) }

func (m mark) since() time.Time {
	us, _ := strconv.ParseInt(m.field(1), 10, 64)
	return time.UnixMicro(us)
}

func (m mark) name() string { return m.field(2) + " " + m.field(3) + " " + m.field(4) }

func (l *leadership) touch() error {
	line := fmt.Sprintf("%d %d %s", l.bucket.opt.Clock.Now().UnixNano(), l.start.UnixMicro(), l.name)
	_, err := l.file.WriteAt([]byte(fmt.Sprintf("%-511s\n", line)), 0)
	return err
}

// run shows life each second, and finds out when somebody else has taken over.
func (l *leadership) run() {
	for {
		t := l.bucket.opt.Clock.NewTimer(touchEvery)
		select {
		case <-t.C():
		case <-l.stop:
			t.Stop()
			return
		}
		if l.mark().name() != l.name {
			close(l.lost)
			return
		}
		if !l.locked {
			l.tryLock()
		}
		_ = l.touch() // whoever takes over for want of it is fenced by CURRENT
	}
}

// Lost implements objstore.Leadership.
func (l *leadership) Lost() <-chan struct{} { return l.lost }

// Release implements objstore.Leadership.
func (l *leadership) Release() error {
	var err error
	l.once.Do(func() {
		close(l.stop)
		l.wg.Wait()
		err = l.file.Close()
	})
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
