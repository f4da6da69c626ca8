package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/connectors/callback"
	"github.com/sabot-stream/sabot/connectors/channel"
	connector "github.com/sabot-stream/sabot/connectors/file"
	"github.com/sabot-stream/sabot/internal/jsonl"
	"github.com/sabot-stream/sabot/objstore/file"
	jobs "github.com/sabot-stream/sabot/run"
)

var update = flag.Bool("update", false, "write the golden files anew")

type visit struct {
	At   time.Time
	Page string
}

type visits struct {
	Page                   string
	WindowStart, WindowEnd time.Time
	Count                  int64
}

// runJob runs a small job to its end in a bucket: a window job whose last window stays open until then.
func runJob(t *testing.T, bucket, name string) {
	t.Helper()
	in := channel.New[visit]()
	go func() {
		defer in.Close()
		for i := range 100 {
			v := visit{time.Unix(1_700_000_000, 0).Add(time.Duration(i) * time.Minute), fmt.Sprint("page ", i%7)}
			if _, err := in.Send(context.Background(), v); err != nil {
				panic(err)
			}
		}
	}()
	job := sabot.NewJob(name)
	rows := job.Source("visits", in, sabot.EventTime("at"))
	sabot.Process(rows.KeyBy("page"), "last", func(p *sabot.Proc[string, visit, visits]) {
		last := sabot.NewValue[int64](p, "last")
		p.OnRow(func(v visit) error {
			last.Put(v.At.UnixMicro())
			p.Emit(visits{v.Page, v.At, v.At, 1})
			return nil
		})
	}).Sink("out", callback.Committed(func(context.Context, sabot.OutputID, []visits) error { return nil }))
	if _, err := jobs.Run(t.Context(), job, jobs.Options{Bucket: bucket, Lanes: 1, Partitions: 2}); err != nil {
		t.Fatal(err)
	}
}

// volatile is what differs from run to run, and what stands for it.
var volatile = []struct {
	pattern *regexp.Regexp
	mask    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`), "TIME"},
	{regexp.MustCompile(`packs/\d{16}-\d{16}-[0-9a-f]{16}`), "packs/PACK"},
	{regexp.MustCompile(`"run": "[0-9a-f]{8}"`), `"run": "RUN"`},
	{regexp.MustCompile(`│ [0-9a-f]{16} +│`), "│ ID │"},
	{regexp.MustCompile(`"id": "[0-9a-f]{16}"`), `"id": "ID"`},
	{regexp.MustCompile(`\b[0-9a-f]{16}\b`), "ID"},
	{regexp.MustCompile(`run [0-9a-f]{8}`), "run RUN"},
	{regexp.MustCompile(`│ [0-9a-f]{8} +│`), "│ RUN │"},
	{regexp.MustCompile(`checksum of bytes .* is [0-9a-f]{8}, want [0-9a-f]{8}`), "checksum of bytes X is Y, want Z"},
	{regexp.MustCompile(`(bytes"?:? +│? *)\d+`), "${1}N"},
	{regexp.MustCompile(`\d+ bytes`), "N bytes"},
	{regexp.MustCompile(`\d+ +│ (yes|-) +│`), "N │ ${1} │"},
	{regexp.MustCompile(`TIME +│ +`), "TIME │ "},
	{regexp.MustCompile(`/\S*/bucket\S*`), "BUCKET"},
	{regexp.MustCompile(` {2,}`), "  "},
	{regexp.MustCompile(`─+`), "─"},
}

func transcript(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, &out, &errs)
	text := fmt.Sprintf("$ sabot %s\n%s%s[exit %d]\n\n", strings.Join(args, " "), out.String(), errs.String(), code)
	for _, v := range volatile {
		text = v.pattern.ReplaceAllString(text, v.mask)
	}
	return text
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
	}
}

func TestHelp(t *testing.T) {
	var all strings.Builder
	for _, args := range [][]string{{"--help"}, {"inspect", "--help"}, {"state", "ls", "--help"}, {"state", "get", "--help"}, {"state", "scan", "--help"},
		{"state", "export", "--help"}, {"fsck", "--help"}, {"status", "--help"}, {"drain", "--help"}, {"stop", "--help"}, {"savepoint", "create", "--help"},
		{"savepoint", "restore", "--help"}, {"clone", "--help"}, {"bench", "cluster", "--help"}, {"bench", "micro", "--help"}, {"bench", "state", "--help"},
		{"bench", "soak", "--help"}, {"unknown"}, {"inspect", "--unknown"}} {
		all.WriteString(transcript(t, args...))
	}
	golden(t, "help", all.String())
}

func TestTranscript(t *testing.T) {
	bucket := filepath.Join(t.TempDir(), "bucket")
	var all strings.Builder
	say := func(args ...string) { all.WriteString(transcript(t, append(args, "--bucket", bucket)...)) }
	say("inspect") // there is no bucket
	if err := os.Mkdir(bucket, 0o755); err != nil {
		t.Fatal(err)
	}
	say("inspect") // it is empty
	runJob(t, bucket, "visits")
	say("inspect")
	say("inspect", "--json")
	say("state", "ls")
	say("fsck")
	say("inspect", "--job", "other")
	runJob(t, bucket, "more")
	say("fsck") // which one?
	say("fsck", "--job", "more", "--json")
	damage(t, bucket)
	say("fsck", "--job", "visits")
	golden(t, "transcript", all.String())
}

func TestSavepointTranscript(t *testing.T) {
	bucket := filepath.Join(t.TempDir(), "bucket")
	runJob(t, bucket, "visits")
	var all strings.Builder
	say := func(args ...string) { all.WriteString(transcript(t, append(args, "--bucket", bucket)...)) }
	say("savepoint", "ls")
	say("savepoint", "create", "good")
	say("savepoint", "create", "good")
	say("savepoint", "create", "../evil")
	say("savepoint", "ls")
	say("savepoint", "ls", "--json")
	say("savepoint", "restore", "better")
	say("savepoint", "restore", "good")
	say("savepoint", "restore", "good", "--as", "visits")
	say("savepoint", "restore", "good", "--as", "again")
	say("clone", "third", "--job", "visits")
	say("savepoint", "ls", "--job", "visits")
	say("savepoint", "rm", "good", "--job", "visits")
	say("savepoint", "rm", "good", "--job", "visits")
	say("fsck", "--job", "visits")
	golden(t, "savepoint", all.String())
}

func TestStateTranscript(t *testing.T) {
	bucket := filepath.Join(t.TempDir(), "bucket")
	runJob(t, bucket, "visits")
	var all strings.Builder
	say := func(args ...string) { all.WriteString(transcript(t, append(args, "--bucket", bucket)...)) }
	say("savepoint", "create", "good")
	say("state", "ls", "--json", "--at", "good")
	say("state", "get", "last", "page 3")
	say("state", "get", "last", "page 3", "--json", "--at", "good")
	say("state", "get", "last", "page 8")
	say("state", "get", "last")
	say("state", "get", "lost", "page 3")
	say("state", "get", "last", "page 3", "2024-01-01")
	say("state", "scan", "last")
	say("state", "scan", "last", "--limit", "2")
	say("state", "scan", "last", "--limit", "1", "--json")
	say("state", "scan", "last", "--limit", "-1")
	say("state", "scan", "last", "--at", "bad")
	say("state", "scan", "last", "--at", "4711")
	for _, f := range []string{"parquet", "arrow", "csv", "jsonl"} {
		say("state", "export", "last", "--out", filepath.Join(bucket, "out."+f), "--at", "good")
	}
	say("state", "export", "last", "--out", filepath.Join(bucket, "out.csv"), "--json")
	say("state", "export", "last", "--out", filepath.Join(bucket, "out.txt"))
	say("state", "export", "lost", "--out", filepath.Join(bucket, "lost.csv"))
	for _, f := range []string{"csv", "jsonl"} {
		b, err := os.ReadFile(filepath.Join(bucket, "out."+f))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "out.%s:\n%s\n", f, b)
	}
	want, err := os.ReadFile(filepath.Join(bucket, "out.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"parquet", "arrow"} {
		if got := exported(t, filepath.Join(bucket, "out."+f)); got != string(want) {
			t.Errorf("out.%s holds\n%s\nwant\n%s", f, got, want)
		}
	}
	if left, err := filepath.Glob(filepath.Join(bucket, ".*-*")); err != nil || len(left) > 0 {
		t.Errorf("exports have left %v, %v", left, err)
	}
	golden(t, "state", all.String())
}

// exported returns the rows of a file as JSON lines.
func exported(t *testing.T, path string) string {
	t.Helper()
	s := connector.Source{URL: path}
	env := sabot.Env{Log: slog.New(slog.DiscardHandler), Now: time.Now, MaxRows: 100}
	schema, splits, err := s.Describe(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), env, schema, splits[0], "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b bytes.Buffer
	for {
		c, err := r.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		if c.Rows != nil {
			if err := jsonl.Encode(&b, c.Rows); err != nil {
				t.Fatal(err)
			}
			c.Rows.Release()
		}
	}
}

// damage flips bits of the state of job visits.
func damage(t *testing.T, bucket string) {
	t.Helper()
	packs, err := filepath.Glob(filepath.Join(bucket, "visits", "packs", "*"))
	if err != nil || len(packs) == 0 {
		t.Fatalf("the job left no state: %v", err)
	}
	for _, p := range packs {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(b); i += 64 { // some of it lies where output rows have been, which nobody names any more
			b[i] ^= 1
		}
		if err := os.WriteFile(p, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A root that a newer version has written is refused by all who read it, and left as it is.
func TestNewerFormat(t *testing.T) {
	bucket := filepath.Join(t.TempDir(), "bucket")
	runJob(t, bucket, "visits")
	current := filepath.Join(bucket, "visits", "CURRENT")
	b, err := os.ReadFile(current)
	if err != nil {
		t.Fatal(err)
	}
	newer := checkpoint.WithFormat(b, checkpoint.Format+1)
	if err := os.WriteFile(current, newer, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"inspect"}, {"fsck"}, {"state", "ls"}} {
		if got := transcript(t, append(args, "--bucket", bucket)...); !strings.Contains(got, "written by a newer Sabot (format 2; this one knows 1): upgrade") || !strings.Contains(got, "[exit 1]") {
			t.Errorf("%v says %q", args, got)
		}
	}
	b2, err := file.Open(bucket, file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	job := sabot.NewJob("visits")
	in := channel.New[visit]()
	in.Close()
	job.Source("visits", in).Sink("out", callback.Committed(func(context.Context, sabot.OutputID, []visit) error { return nil }))
	for _, fresh := range []bool{false, true} {
		if _, err := jobs.Run(t.Context(), job, jobs.Options{Store: b2, Fresh: fresh}); sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), "newer Sabot") {
			t.Errorf("the job starts with fresh=%v: %v, want that it is told of the newer version", fresh, err)
		}
	}
	if now, err := os.ReadFile(current); err != nil || !bytes.Equal(now, newer) {
		t.Errorf("the root has been changed: %v", err)
	}
}
