package file_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/file"
	"github.com/sabot-stream/sabot/internal/miniotest"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
)

// Files of every format are read from a bucket as from a folder, and a sink publishes into one.
func TestBuckets(t *testing.T) {
	m := miniotest.Start(t)
	for _, e := range miniotest.Env() {
		k, v, _ := strings.Cut(e, "=")
		t.Setenv(k, v)
	}
	url := m.Bucket("files")
	b, err := bucketurl.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	root, query, _ := strings.Cut(url, "?")
	lines := "at,name,n\n" + strings.Repeat("2026-01-02T03:04:05Z,some text,7\n", 300_000) // more than a block
	if err := b.Put(t.Context(), "in/one.csv", []byte(lines)); err != nil {
		t.Fatal(err)
	}
	flights, err := os.ReadFile("../../testdata/flights.parquet")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"in/a.parquet", "in/b.parquet", "in/deep/c.parquet"} {
		if err := b.Put(t.Context(), key, flights); err != nil {
			t.Fatal(err)
		}
	}
	for pattern, want := range map[string]struct{ splits, rows int }{"in/one.csv": {1, 300_000}, "in/*.parquet": {2, 300_000}, "in/**/*.parquet": {3, 450_000}} {
		src := file.Source{URL: root + "/" + pattern + "?" + query}
		_, splits, err := src.Describe(t.Context(), sabot.Env{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range splits {
			if strings.Contains(string(s.ID), "endpoint") {
				t.Errorf("the split %s is named by how it is reached", s.ID)
			}
		}
		rows, bad, err := readAll(t, src)
		if err != nil || len(splits) != want.splits || len(rows) != want.rows || len(bad) > 0 {
			t.Errorf("%s: %d files of %d rows and %d bad records, %v, want %d of %d", pattern, len(splits), len(rows), len(bad), err, want.splits, want.rows)
		}
	}
	publish(t, file.Sink{URL: root + "/out?" + query, Format: file.JSONL})
	rows, _, err := readAll(t, file.Source{URL: root + "/out/*.jsonl?" + query})
	if err != nil || len(rows) != int(small(t).NumRows()) {
		t.Errorf("of what a sink has published %d rows are read, %v, want %d", len(rows), err, small(t).NumRows())
	}
	for _, missing := range []string{"in/none.csv", "out/*.csv"} {
		src := file.Source{URL: root + "/" + missing + "?" + query}
		if _, _, err := src.Describe(t.Context(), sabot.Env{}); sabot.KindOf(err) != sabot.Invalid {
			t.Errorf("%s: %v, want an Invalid error", missing, err)
		}
	}
}

// publish publishes one output twice.
func publish(t *testing.T, s file.Sink) {
	t.Helper()
	rec := small(t)
	defer rec.Release()
	if err := s.Check(t.Context(), sabot.Env{}, rec.Schema()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Publish(t.Context(), sabot.OutputID{Job: "job", Run: "r1", Sink: "s", Range: "0", Number: 1}, rec); err != nil {
			t.Fatal(err)
		}
	}
}
