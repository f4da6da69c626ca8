package test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// kills is how often TestKilled kills each job.
var kills = flag.Int("kills", 0, "how often TestKilled kills each job; 0: 30 times, 8 with -short")

// killable is how many rows per second a job reads that is killed so often: few enough that it does not end.
func killable(kills int) int { return min(15_000, 15_000*30/kills) }

// Killed again and again in mid-job, the job ends with exactly the output of an undisturbed run; nothing that was committed is ever lost, and
// no more than two checkpoints' worth of rows is read again.
func TestKilled(t *testing.T) {
	flights := mustFlights(t, slice)
	const interval = 100 * time.Millisecond
	kills := *kills
	if kills == 0 {
		kills = 30
		if testing.Short() {
			kills = 8
		}
	}
	killRate := killable(kills)
	for _, ex := range examples {
		t.Run(ex, func(t *testing.T) {
			j := newJob(t, ex, slice)
			r := rand.New(rand.NewPCG(42, 42))
			resumed, beyond := 0, 0
			var last snapshot
			for kill := range kills {
				read := j.kill(150*time.Millisecond+time.Duration(r.IntN(150))*time.Millisecond, killRate, "--checkpoint", interval.String())
				s, ok := j.inspect()
				if !ok {
					continue // killed before its first checkpoint
				}
				if s.Epoch < last.Epoch || s.RowsRead < last.RowsRead || s.Term < last.Term {
					t.Fatalf("kill %d: went back from %+v to %+v", kill, last, s)
				}
				if last.RowsRead > 0 {
					resumed++
				}
				// What was read and not committed is read again: at most what the rate gives in two intervals, and one read ahead. A machine that
				// pauses while it writes may exceed that now and then, but not by much more.
				again, most := read-s.RowsRead, int64(2*float64(killRate)*interval.Seconds())+int64(killRate/100)
				if again > most {
					beyond++
				}
				if again > 10*most {
					t.Errorf("kill %d: %d rows are read again, at most %d should be", kill, again, most)
				}
				last = s
				if s.Finished {
					t.Fatalf("the job was finished after %d kills: it is too short for this test", kill)
				}
			}
			if beyond > kills/3 {
				t.Errorf("after %d of %d kills more than two intervals' worth of rows is read again", beyond, kills)
			}
			if want := kills * 2 / 3; resumed < want {
				t.Errorf("%d of %d runs resumed at a row above 0, want at least %d", resumed, kills, want)
			}
			out := j.finish()
			mustContain(t, out, "Resuming job")
			j.exact(flights)
			j.clean()
		})
	}
}

// kill starts the job at a rate, kills it after a while, and returns how many rows it may have read by then: what was committed when it began,
// and what its rate gives in the time.
func (j *job) kill(after time.Duration, rate int, flags ...string) int64 {
	j.t.Helper()
	before, _ := j.inspect()
	cmd := j.command(context.Background(), append(flags, "--rate", fmt.Sprint(rate))...)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		j.t.Fatal(err)
	}
	time.Sleep(after)
	if err := cmd.Process.Kill(); err != nil {
		j.t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
	return before.RowsRead + int64(time.Since(start).Seconds()*float64(rate))
}

// An interrupted job takes a last checkpoint, says how to go on, and exits with the signal's code; no window has fired early.
func TestSignals(t *testing.T) {
	flights := mustFlights(t, slice)
	for sig, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		for _, ex := range examples {
			t.Run(ex+"/"+sig.String(), func(t *testing.T) {
				j := newJob(t, ex, slice)
				var out strings.Builder
				cmd := j.command(context.Background(), "--rate", "50000", "--checkpoint", "10s")
				cmd.Stdout = &out
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(400 * time.Millisecond)
				if err := cmd.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Wait() // the exit code is looked at below
				if got := cmd.ProcessState.ExitCode(); got != code {
					t.Fatalf("exit code %d, want %d\n%s", got, code, out.String())
				}
				mustContain(t, out.String(), "Start the same command again")
				s, _ := j.inspect()
				if s.RowsRead == 0 || s.Finished {
					t.Fatalf("after the signal %+v: the last checkpoint is missing", s)
				}
				j.finish()
				j.exact(flights)
				j.clean()
			})
		}
	}
}

// A missing or damaged pack is found by fsck and by the next run, and both name it.
func TestDamagedState(t *testing.T) {
	damage := map[string]func(path string) error{
		"deleted": os.Remove,
		"flipped": func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b[len(b)/2] ^= 1
			return os.WriteFile(path, b, 0o644)
		},
	}
	for name, do := range damage {
		t.Run(name, func(t *testing.T) {
			j := newJob(t, "routes", slice)
			j.kill(500*time.Millisecond, 100_000, "--checkpoint", "50ms")
			j.clean()
			packs, err := filepath.Glob(filepath.Join(j.bucket(), "routes", "packs", "*"))
			if err != nil || len(packs) == 0 {
				t.Fatalf("no packs to damage: %v", err)
			}
			for _, p := range packs { // one of them may be garbage that nobody names
				if err := do(p); err != nil {
					t.Fatal(err)
				}
			}
			out, code := j.fsck()
			if code != 1 {
				t.Errorf("fsck exited with %d\n%s", code, out)
			}
			mustContain(t, out, "bad: routes/packs/")
			_, stderr, code := j.run()
			if code != 1 {
				t.Errorf("the run over damaged state exited with %d, want 1", code)
			}
			mustContain(t, stderr, "routes/packs/")
		})
	}
}
