package test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Run again after its end the job says when it ended and what it read, and changes nothing; --fresh runs it again, and removes the old files.
func TestRunAgain(t *testing.T) {
	j := newJob(t, "flights", slice)
	j.finish()
	before := files(t, j.output())
	out := j.finish()
	mustContain(t, out, "has ended already", "150,000 rows", "--fresh")
	if after := files(t, j.output()); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("the second run changed the output: %v, was %v", after, before)
	}
	foreign := filepath.Join(j.output(), "notes.parquet.txt")
	if err := os.WriteFile(foreign, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	j.finish("--fresh")
	for _, f := range files(t, j.output()) {
		for _, old := range before {
			if f == old {
				t.Errorf("%s of the old run is still there", f)
			}
		}
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("--fresh removed a file that is not the job's: %v", err)
	}
	j.exact(mustFlights(t, slice))
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") && strings.HasSuffix(e.Name(), ".parquet") {
			names = append(names, e.Name())
		}
	}
	return names
}

// A job that is resumed with something else than it was started with is refused: it says what, and what to do.
func TestChangedJobIsRefused(t *testing.T) {
	cases := map[string]struct {
		change func(t *testing.T, j *job) []string // returns more flags
		says   []string
	}{
		"input content": {func(t *testing.T, j *job) []string {
			b, err := os.ReadFile(j.input)
			if err == nil {
				err = os.WriteFile(j.input, append(b, 0), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			return nil
		}, []string{"flights.parquet"}},
		"partitions": {func(*testing.T, *job) []string { return []string{"--partitions", "5"} }, []string{"--partitions is 5, the job has 8", "--fresh"}},
		"input path": {func(t *testing.T, j *job) []string {
			copyFile(t, j.input, filepath.Join(j.dir, "other.parquet"))
			return []string{"--input", filepath.Join(j.dir, "other.parquet")}
		}, []string{"dropped: \"flights\": its input was", "--allow-state-loss", "--fresh"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			j := newJob(t, "flights", slice)
			j.input = filepath.Join(j.dir, "flights.parquet")
			copyFile(t, slice, j.input)
			j.kill(400*time.Millisecond, 50_000, "--checkpoint", "50ms")
			before, ok := j.inspect()
			if !ok {
				t.Fatal("no checkpoint before the change")
			}
			_, stderr, code := j.run(c.change(t, j)...)
			if code != 2 {
				t.Errorf("exit code %d, want 2\n%s", code, stderr)
			}
			mustContain(t, stderr, c.says...)
			if after, _ := j.inspect(); after != before {
				t.Errorf("the refused run changed the job from %+v to %+v", before, after)
			}
		})
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Files that came after the first start are named and not read.
func TestNewFilesAreNamed(t *testing.T) {
	j := newJob(t, "flights", slice)
	in := filepath.Join(j.dir, "in")
	if err := os.Mkdir(in, 0o755); err != nil {
		t.Fatal(err)
	}
	copyFile(t, slice, filepath.Join(in, "a.parquet"))
	j.input = filepath.Join(in, "*.parquet")
	j.kill(400*time.Millisecond, 50_000, "--checkpoint", "50ms")
	copyFile(t, slice, filepath.Join(in, "b.parquet"))
	out := j.finish()
	mustContain(t, out, "Not read", "b.parquet")
	j.exact(mustFlights(t, slice))
}

// A second process of a running job is told who runs it. When the first is stopped for longer than the lease the second takes over; continued,
// the first finds out and ends, and the output is exact.
func TestTwoProcesses(t *testing.T) {
	j := newJob(t, "routes", slice)
	first := j.command(context.Background(), "--rate", "50000", "--checkpoint", "50ms")
	var said strings.Builder
	first.Stderr = &said
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(700 * time.Millisecond)
	_, stderr, code := j.run("--lease", "2s")
	if code != 1 {
		t.Errorf("the second process exited with %d, want 1\n%s", code, stderr)
	}
	mustContain(t, stderr, "is being run by process", "--take-over")
	if err := first.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	j.finish("--lease", "1s")
	if err := first.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // the exit code is looked at below
	if first.ProcessState.ExitCode() != 1 {
		t.Errorf("the deposed process exited with %d, want 1\n%s", first.ProcessState.ExitCode(), said.String())
	}
	mustContain(t, said.String(), "taken the job over")
	j.exact(mustFlights(t, slice))
	j.clean()
}

// Wrong input gets an error that names it, and exit code 2.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	whole, err := os.ReadFile(slice)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		input string
		says  []string
	}{
		"no such file":      {filepath.Join(dir, "none.parquet"), []string{"no such file", "none.parquet"}},
		"empty glob":        {filepath.Join(dir, "*.pq"), []string{"no file matches", "*.pq"}},
		"no folder":         {filepath.Join(dir, "x", "*.parquet"), []string{"there is no folder"}},
		"folder":            {dir, []string{"is a folder"}},
		"truncated parquet": {write("cut.parquet", string(whole[:len(whole)/2])), []string{"cut.parquet", "cut short"}},
		"no parquet":        {write("text.parquet", "hello, this is no Parquet file at all"), []string{"text.parquet"}},
		"empty parquet":     {write("empty.parquet", ""), []string{"empty.parquet"}},
		"unknown format":    {write("data.xyz", "a,b"), []string{".xyz", ".parquet"}},
		"missing column":    {write("wrong.csv", "dat,delay,distance,origin,destination\n2001-01-01 00:00:00,1,2,A,B\n"), []string{"date", "did you mean \"dat\""}},
		"type clash":        {write("type.csv", "date,delay,distance,origin,destination\nyesterday,1,2,A,B\n"), []string{"\"date\" is utf8, not a timestamp"}},
		"empty csv":         {write("empty.csv", ""), []string{"empty.csv", "empty"}},
		"scheme":            {"ftp://host/x.parquet", []string{"ftp"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			j := newJob(t, "flights", slice)
			j.input = c.input
			_, stderr, code := j.run()
			if code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			mustContain(t, stderr, append(c.says, "error:")...)
			if strings.Contains(stderr, "goroutine") {
				t.Errorf("it panicked:\n%s", stderr)
			}
		})
	}
}

// Bad records of text files go to dead letters with line and reason, and the job goes on, or stops when told so.
func TestBadRecords(t *testing.T) {
	good := `{"date":"2001-01-01T00:10:00Z","delay":5,"distance":1,"origin":"AAA","destination":"BBB"}`
	lines := slices.Repeat([]string{good}, 1000) // types are inferred from these
	lines = append(lines, `{"date":`, `[1,2]`, "\xff\xfe", `{"date":"2001-01-01T00:20:00Z","delay":"late","distance":1,"origin":"AAA","destination":"BBB"}`,
		`{"date":null,"delay":1,"distance":1,"origin":"AAA","destination":"BBB"}`, `{"date":"9999-01-01T00:00:00Z","delay":1,"distance":1,"origin":"AAA","destination":"BBB"}`,
		`{"date":"0001-01-01T00:00:00Z","delay":7,"distance":1,"origin":null,"destination":"BBB"}`, good)
	j := newJob(t, "flights", slice)
	j.input = filepath.Join(j.dir, "in.jsonl")
	if err := os.WriteFile(j.input, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	out := j.finish()
	mustContain(t, out, "6 bad records are in dead letters")
	s, _ := j.inspect()
	if s.RowsDead != 6 || s.RowsRead != int64(len(lines)) {
		t.Errorf("%d rows read, %d dead; want %d and 6", s.RowsRead, s.RowsDead, len(lines))
	}
	letters := ""
	paths, err := filepath.Glob(filepath.Join(j.bucket(), "flights", "dead", "*", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		letters += string(b)
	}
	mustContain(t, letters, "line 1001", "it is no JSON", "line 1002", "no JSON object", "line 1003", "UTF-8", "line 1004", "is no int64", "is null", "ahead of the clock")
	if n := strings.Count(letters, "\n"); n != 6 {
		t.Errorf("%d dead letters, want 6:\n%s", n, letters)
	}

	_, stderr, code := j.run("--fresh", "--on-bad-record", "fail")
	if code == 0 {
		t.Error("--on-bad-record fail did not stop the job")
	}
	mustContain(t, stderr, "line 1001")
}

// A bucket that cannot be written is an error that says what to do.
func TestUnwritableBucket(t *testing.T) {
	j := newJob(t, "flights", slice)
	if err := os.WriteFile(j.bucket(), []byte("a file stands here"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := j.run()
	if code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	mustContain(t, stderr, "open bucket", "choose another --bucket")
}

// A root that is cut short, or of a newer format, is refused; it is not overwritten.
func TestBadRoot(t *testing.T) {
	j := newJob(t, "flights", slice)
	j.kill(400*time.Millisecond, 50_000, "--checkpoint", "50ms")
	current := filepath.Join(j.bucket(), "flights", "CURRENT")
	root, err := os.ReadFile(current)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{"cut": root[:len(root)/2], "empty": {}, "flipped": append([]byte{}, append(root[:20:20], append([]byte{root[20] ^ 8}, root[21:]...)...)...)} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(current, bad, 0o644); err != nil {
				t.Fatal(err)
			}
			_, stderr, code := j.run()
			if code == 0 {
				t.Error("the job ran over a bad root")
			}
			mustContain(t, stderr, "CURRENT")
			if now, err := os.ReadFile(current); err != nil || string(now) != string(bad) {
				t.Errorf("the bad root was overwritten: %v", err)
			}
		})
	}
}
