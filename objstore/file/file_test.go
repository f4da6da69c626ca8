package file_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/file"
	"github.com/sabot-stream/sabot/objstore/storetest"
)

func open(t *testing.T, dir string) *file.Bucket {
	t.Helper()
	b, err := file.Open(dir, file.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) objstore.Bucket { return open(t, t.TempDir()) })
}

// TestMain is also the program of the processes that race: SABOT_TEST_RACE names the bucket.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SABOT_TEST_RACE"); dir != "" {
		if err := race(dir, os.Getenv("SABOT_TEST_NAME")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const (
	processes = 4
	raceSteps = 100
)

// race counts up to raceSteps in one object, against other processes, and creates an object per step; it prints the steps that it won.
func race(dir, name string) error {
	b, err := file.Open(dir, file.Options{NoSync: true})
	if err != nil {
		return err
	}
	ctx := context.Background()
	for step := range raceSteps {
		_, err := b.PutIf(ctx, fmt.Sprintf("created/%d", step), []byte(name), objstore.Absent)
		if err == nil {
			fmt.Println("created", step)
		} else if !errors.Is(err, objstore.ErrPrecondition) {
			return err
		}
	}
	for {
		body, v, err := b.Get(ctx, "counter")
		if err != nil {
			return err
		}
		n := 0
		if _, err := fmt.Sscan(string(body), &n); err != nil {
			return err
		}
		if n >= raceSteps {
			return nil
		}
		_, err = b.PutIf(ctx, "counter", fmt.Appendf(nil, "%d %s", n+1, name), v)
		if err == nil {
			fmt.Println("counted", n)
		} else if !errors.Is(err, objstore.ErrPrecondition) {
			return err
		}
	}
}

func TestProcessesRace(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir).Put(t.Context(), "counter", []byte("0 start")); err != nil {
		t.Fatal(err)
	}
	var outs [processes]strings.Builder
	var procs [processes]*exec.Cmd
	for i := range procs {
		procs[i] = exec.CommandContext(t.Context(), os.Args[0])
		procs[i].Env = append(os.Environ(), "SABOT_TEST_RACE="+dir, fmt.Sprintf("SABOT_TEST_NAME=p%d", i))
		procs[i].Stdout, procs[i].Stderr = &outs[i], os.Stderr
		if err := procs[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	won := map[string]int{}
	for i, p := range procs {
		if err := p.Wait(); err != nil {
			t.Fatalf("process %d: %v", i, err)
		}
		for line := range strings.Lines(outs[i].String()) {
			won[strings.TrimSpace(line)]++
		}
	}
	for step := range raceSteps {
		for _, what := range []string{"created", "counted"} {
			if n := won[fmt.Sprint(what, " ", step)]; n != 1 {
				t.Errorf("%d processes were told that they %s %d, want 1", n, what, step)
			}
		}
	}
}

func TestFoldersThatCannotServe(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	locked := filepath.Join(dir, "locked")
	if err := os.Mkdir(locked, 0o500); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, advice string }{
		"a file":            {plain, "choose another --bucket"},
		"below a file":      {filepath.Join(plain, "x"), "choose another --bucket"},
		"without a right":   {filepath.Join(locked, "x"), "give this user the right to write there"},
		"a read-only place": {"/proc/sabot", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "without a right" && os.Geteuid() == 0 {
				t.Skip("root may write anywhere")
			}
			_, err := file.Open(c.path, file.Options{})
			if err == nil || !strings.Contains(err.Error(), c.path) || !strings.Contains(err.Error(), c.advice) {
				t.Fatalf("open %s: %v, want its path and %q", c.path, err, c.advice)
			}
			if c.advice != "" && sabot.KindOf(err) != sabot.Invalid {
				t.Errorf("its kind is %s, want invalid", sabot.KindOf(err))
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	if err := b.Put(t.Context(), "job/k", []byte("before")); err != nil {
		t.Fatal(err)
	}
	// A limit on the size of files makes writes fail as a full disk does, but for the errno.
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1000, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	err := b.Put(t.Context(), "job/k", make([]byte, 5000))
	_, errIf := b.PutIf(t.Context(), "job/n", make([]byte, 5000), objstore.Absent)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{err, errIf} {
		if !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), "write job/") {
			t.Errorf("a write that found no room gave %v, want the key and %v", err, syscall.EFBIG)
		}
	}
	if got, _, err := b.Get(t.Context(), "job/k"); err != nil || string(got) != "before" {
		t.Errorf("after a failed write the object is %q, %v", got, err)
	}
	if _, _, err := b.Get(t.Context(), "job/n"); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("a failed create left an object: %v", err)
	}
	left, err := os.ReadDir(filepath.Join(dir, ".tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("failed writes left %v behind, %v", left, err)
	}
}

func TestLead(t *testing.T) {
	dir := t.TempDir()
	const lease = 200 * time.Millisecond
	first, err := open(t, dir).Lead(t.Context(), "job/", lease, false)
	if err != nil {
		t.Fatal(err)
	}
	_, err = open(t, dir).Lead(t.Context(), "job/", time.Hour, false)
	var held *objstore.HeldError
	if !errors.As(err, &held) || !strings.Contains(held.Owner, fmt.Sprint(os.Getpid())) {
		t.Fatalf("a second leader got %v, want who leads", err)
	}
	if other, err := open(t, dir).Lead(t.Context(), "another/", lease, false); err != nil {
		t.Errorf("another job cannot be led: %v", err)
	} else if err := other.Release(); err != nil {
		t.Error(err)
	}
	second, err := open(t, dir).Lead(t.Context(), "job/", lease, true)
	if err != nil {
		t.Fatalf("take over: %v", err)
	}
	<-first.Lost()
	if err := errors.Join(first.Release(), second.Release()); err != nil {
		t.Error(err)
	}
	third, err := open(t, dir).Lead(t.Context(), "job/", lease, false)
	if err != nil {
		t.Fatalf("a released job cannot be led: %v", err)
	}
	if err := third.Release(); err != nil {
		t.Error(err)
	}
}
