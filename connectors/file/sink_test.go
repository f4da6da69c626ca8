package file_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/conntest"
	"github.com/sabot-stream/sabot/connectors/file"
)

var formats = []file.Format{file.Parquet, file.Arrow, file.CSV, file.JSONL}

func outputID(number uint64) sabot.OutputID {
	return sabot.OutputID{Job: "job", Run: "r1", Sink: "out", Range: "s000", Number: number}
}

// visible returns what who lists a folder sees: all but names that begin with a dot.
func visible(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(d.Name(), ".") && d.IsDir():
			return fs.SkipDir
		case strings.HasPrefix(d.Name(), ".") || d.IsDir():
			return nil
		}
		body, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[name] = string(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSinkConforms(t *testing.T) {
	plain := write(t, "plain", nil)
	bad := map[string]sabot.Sink{
		"no URL":                            file.Sink{},
		"an unknown format":                 file.Sink{URL: t.TempDir(), Format: "xml"},
		"another scheme":                    file.Sink{URL: "ftp://bucket/out"},
		"a file in place of a folder":       file.Sink{URL: plain},
		"a file in place of a folder above": file.Sink{URL: filepath.Join(plain, "sub", "out")},
	}
	for _, f := range formats {
		t.Run(string(f), func(t *testing.T) {
			conntest.Sink(t, func(t *testing.T) conntest.Destination {
				dir := filepath.Join(t.TempDir(), "deep", "out")
				return conntest.Destination{
					Open:    func() sabot.Sink { return file.Sink{URL: dir, Format: f} },
					Outputs: func() map[string]string { return visible(t, filepath.Dir(filepath.Dir(dir))) },
					Put: func(name, content string) {
						if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
							t.Fatal(err)
						}
						if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
							t.Fatal(err)
						}
					},
					Foreign: func(id sabot.OutputID) []string {
						name := id.String() + "." + string(f)
						prefix := fmt.Sprintf("%s-%s-%s-", id.Job, id.Run, id.Sink)
						return []string{"notes.txt", name + ".bak", "copy of " + name, "sub/" + name, prefix + "summary." + string(f), prefix + "s000-7." + string(f),
							prefix + "s000-0000000x." + string(f), prefix + "s000/00000007." + string(f), prefix + "." + string(f)}
					},
				}
			}, small(t), bad)
		})
	}
}

// What a sink writes, a source reads: every type, nulls, and values that look like something else.
func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	recs := map[string]arrow.RecordBatch{}
	for _, nullable := range []bool{true, false} {
		recs[fmt.Sprintf("all types, nullable %v", nullable)] = random(rng, schemaOf(nullable, canonical...), 20)
	}
	for _, typ := range canonical {
		recs[fmt.Sprintf("%s alone", typ)] = random(rng, schemaOf(true, typ), 8)
	}
	var rows []row
	for _, s := range texts {
		rows = append(rows, row{nil, s}, row{s, s}, row{s, nil})
	}
	recs["texts"] = table(t, cols(`a,"b":text`, "c\nd:text"), rows...)
	recs["no rows"] = random(rng, schemaOf(true, canonical...), 0)
	for _, f := range formats {
		for name, rec := range recs {
			t.Run(string(f)+"/"+name, func(t *testing.T) {
				dir := t.TempDir()
				if err := (file.Sink{URL: dir, Format: f}).Publish(t.Context(), outputID(1), rec); err != nil {
					t.Fatal(err)
				}
				src := file.Source{URL: filepath.Join(dir, "*"), Schema: rec.Schema()}
				conntest.Source(t, opener(src), rec)
			})
		}
	}
}

// An output that is there already is the same output: it is not touched, whatever it holds.
func TestPublishedBefore(t *testing.T) {
	for _, f := range formats {
		t.Run(string(f), func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, outputID(3).String()+"."+string(f))
			if err := os.WriteFile(path, []byte("as it was"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := (file.Sink{URL: dir, Format: f}).Publish(t.Context(), outputID(3), small(t)); err != nil {
				t.Fatalf("Publish over an output that is there: %v", err)
			}
			if got := visible(t, dir)[filepath.Base(path)]; got != "as it was" {
				t.Errorf("the output holds %q, want it untouched", got)
			}
		})
	}
}

// A process that died while it wrote leaves nothing that a reader could take for an output.
func TestLeftoversAreNoOutputs(t *testing.T) {
	dir := t.TempDir()
	sink := file.Sink{URL: dir, Format: file.JSONL}
	if err := sink.Publish(t.Context(), outputID(1), small(t)); err != nil {
		t.Fatal(err)
	}
	want := visible(t, dir)
	tmp := filepath.Join(dir, ".tmp", "other", outputID(2).String()+".jsonl")
	if err := os.MkdirAll(filepath.Dir(tmp), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tmp, []byte(`{"a":`), 0o644); err != nil {
		t.Fatal(err)
	}
	if n, err := sink.Sweep(t.Context(), "job", "out", []string{"r2"}); n != 0 || err != nil {
		t.Errorf("Sweep of another run: removed %d, error %v, want 0 and none", n, err)
	}
	rows, bad, err := readAll(t, file.Source{URL: filepath.Join(dir, "*.jsonl")})
	if err != nil || len(rows) != 12 || len(bad) != 0 {
		t.Errorf("a source of the folder: %d rows, %d bad records, error %v, want the 12 rows of %d output", len(rows), len(bad), err, len(want))
	}
}

func TestPublishIsRefused(t *testing.T) {
	plain := write(t, "plain", nil)
	for name, url := range map[string]string{"a file in place of the folder": plain, "a file above": filepath.Join(plain, "out")} {
		t.Run(name, func(t *testing.T) {
			err := file.Sink{URL: url}.Publish(t.Context(), outputID(1), small(t))
			if sabot.KindOf(err) != sabot.Invalid || !strings.Contains(fmt.Sprint(err), plain) {
				t.Errorf("error is %v, want an Invalid one that names %s", err, plain)
			}
		})
	}
	t.Run("no permission", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root may write everywhere")
		}
		dir := filepath.Join(t.TempDir(), "out")
		if err := os.Mkdir(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		err := file.Sink{URL: dir}.Publish(t.Context(), outputID(1), small(t))
		if sabot.KindOf(err) != sabot.Invalid || !strings.Contains(fmt.Sprint(err), dir) {
			t.Errorf("error is %v, want an Invalid one that names %s", err, dir)
		}
	})
}
