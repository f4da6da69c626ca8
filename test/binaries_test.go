// Package test runs the real binaries against brute force: undisturbed, killed, interrupted and misused.
package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sabot-stream/sabot/test/oracle"
)

// bin holds the binaries that TestMain builds.
var bin string

const slice = "../testdata/flights.parquet"

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sabot-test")
	if err == nil {
		defer os.RemoveAll(dir)
		bin = dir
		var out []byte
		if out, err = exec.Command("go", "build", "-o", dir+"/", "../cmd/sabot", "../cmd/worker", "../cmd/coordinator", "../examples/flights", "../examples/routes", "./clicks").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the binaries:", err)
		return 1
	}
	return m.Run()
}

// job is a run of an example's binary, with a bucket and an output of its own.
type job struct {
	t       *testing.T
	example string
	dir     string
	input   string
}

func newJob(t *testing.T, example, input string) *job {
	t.Helper()
	abs := input
	if input != "" && !filepath.IsAbs(input) {
		var err error
		if abs, err = filepath.Abs(input); err != nil {
			t.Fatal(err)
		}
	}
	return &job{t, example, t.TempDir(), abs}
}

func (j *job) bucket() string { return filepath.Join(j.dir, "bucket") }
func (j *job) output() string { return filepath.Join(j.dir, "out") }

// command returns the example's command with more flags.
func (j *job) command(ctx context.Context, flags ...string) *exec.Cmd {
	args := append([]string{"--input", j.input, "--output", j.output(), "--bucket", j.bucket()}, flags...)
	cmd := exec.CommandContext(ctx, filepath.Join(bin, j.example), args...)
	cmd.Dir = j.dir
	return cmd
}

// run runs the example to its end and returns what it printed and its exit code.
func (j *job) run(flags ...string) (stdout, stderr string, code int) {
	j.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := j.command(ctx, flags...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		j.t.Fatalf("run %s: %v", j.example, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// finish runs the example to its end, which must be a good one.
func (j *job) finish(flags ...string) string {
	j.t.Helper()
	stdout, stderr, code := j.run(flags...)
	if code != 0 {
		j.t.Fatalf("%s exited with %d\n%s%s", j.example, code, stdout, stderr)
	}
	return stdout
}

// exact compares what is published with brute force over the flights.
func (j *job) exact(flights []oracle.Flight) {
	j.t.Helper()
	want := oracle.Hourly
	if j.example == "routes" {
		want = oracle.Spells
	}
	got, err := oracle.Published(j.output())
	if err != nil {
		j.t.Fatal(err)
	}
	if d := oracle.Diff(want(flights), got); d != "" {
		j.t.Fatalf("%s published other rows than brute force:\n%s", j.example, d)
	}
}

// snapshot is what the tests read of inspect --json.
type snapshot struct {
	Epoch    uint64 `json:"epoch"`
	Term     uint64 `json:"term"`
	RowsRead int64  `json:"rows_read"`
	RowsLate int64  `json:"rows_late"`
	RowsDead int64  `json:"rows_dead"`
	Ended    bool   `json:"ended"` // all input is read
	Finished bool   `json:"finished"`
}

// inspect returns the job's snapshot; ok is false before the first checkpoint.
func (j *job) inspect() (s snapshot, ok bool) {
	j.t.Helper()
	out, err := exec.Command(filepath.Join(bin, "sabot"), "inspect", "--json", "--bucket", j.bucket()).Output()
	if err != nil {
		return s, false
	}
	if err := json.Unmarshal(out, &s); err != nil {
		j.t.Fatalf("inspect --json printed no JSON: %v\n%s", err, out)
	}
	return s, true
}

// fsck returns what fsck printed, and its exit code.
func (j *job) fsck() (string, int) {
	j.t.Helper()
	cmd := exec.Command(filepath.Join(bin, "sabot"), "fsck", "--bucket", j.bucket())
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		j.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (j *job) clean() {
	j.t.Helper()
	if out, code := j.fsck(); code != 0 {
		j.t.Fatalf("fsck found problems:\n%s", out)
	}
}

func mustFlights(t *testing.T, path string) []oracle.Flight {
	t.Helper()
	f, err := oracle.Flights(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mustContain(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("it does not say %q:\n%s", p, text)
		}
	}
}
