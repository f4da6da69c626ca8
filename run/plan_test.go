package run

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
)

// plan runs the command plan, and returns what it says and its exit code.
func (r *changeRig) plan(folder string, build func() *sabot.Job, args ...string) string {
	var out, errs bytes.Buffer
	code := mainWith(r.t.Context(), append([]string{"job", "plan", "--bucket", folder}, args...), &out, &errs, func(struct{}) *sabot.Job { return build() })
	text := fmt.Sprintf("$ job plan %s\n%s%s[exit %d]\n", strings.Join(args, " "), out.String(), errs.String(), code)
	return strings.ReplaceAll(stored.ReplaceAllString(text, "up to N rows"), folder, "BUCKET")
}

// What plan --diff foretells is what a start does.
func TestPlanTranscript(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "bucket")
	r := newChangeRig(t, all)
	h := func(h handles) func() *sabot.Job { return func() *sabot.Job { return r.watching(h) } }
	before := handles{count: true, greatest: true, timer: true}
	var said strings.Builder
	say := func(build func() *sabot.Job, args ...string) { said.WriteString(r.plan(folder, build, args...) + "\n") }
	say(h(before))
	say(h(before), "--json")
	say(h(before), "--diff") // there is no bucket
	var err error
	if r.bucket, err = bucketurl.Open(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	defer r.bucket.Close()
	say(h(before), "--diff") // there is no job
	r.until(half, r.watching(before))
	r.drain(r.watching(before))
	nonce := r.root().Nonce
	say(h(before), "--diff")
	say(h(handles{count: true, greatest: true, timer: true, places: true}), "--diff")
	say(h(handles{count: true, timer: true}), "--diff")
	say(h(handles{count: true, countAs: "text", timer: true, before: true}), "--diff")
	say(func() *sabot.Job {
		return r.job(func(rows *sabot.Stream) {
			rows.Filter(sabot.Col("v").Gt(3)).KeyBy("by").Window(sabot.Tumbling(time.Hour)).Aggregate("hourly", sabot.Sum("v").As("sum")).
				Select(sabot.Col("by").As("key"), sabot.Col("window_start"), sabot.Col("window_end"), sabot.Col("sum")).Sink("hours", keeping[total](r, "hours"))
		})
	}, "--diff")
	if r.root().Nonce != nonce {
		t.Error("looking has changed the root")
	}
	golden(t, filepath.Join("testdata", "plan.golden"), checkpointNumber.ReplaceAllString(said.String(), "checkpoint N"))

	_, text, _ := strings.Cut(r.plan(folder, h(handles{count: true, timer: true}), "--diff", "--json"), "\n")
	var plain struct {
		Verdict string
		Items   []map[string]string
	}
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&plain); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"operator": "watch", "part": "value greatest", "outcome": "dropped", "reason": "it is gone"}
	if plain.Verdict != "loses state" || !slices.ContainsFunc(plain.Items, func(i map[string]string) bool { return fmt.Sprint(i) == fmt.Sprint(want) }) {
		t.Errorf("%s", text)
	}
}

var checkpointNumber = regexp.MustCompile(`checkpoint \d+`)
