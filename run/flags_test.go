package run

import (
	"bytes"
	"context"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/callback"
	"github.com/sabot-stream/sabot/connectors/channel"
)

var update = flag.Bool("update", false, "write the golden files anew")

type noParams struct {
	Limit int `help:"Most widgets." default:"7"`
}

// tiny is a job that reads nothing and ends.
func tiny(noParams) *sabot.Job {
	in := channel.New[measure]()
	in.Close()
	job := sabot.NewJob("tiny")
	job.Source("in", in).Sink("out", callback.Committed(func(context.Context, sabot.OutputID, []measure) error { return nil }))
	return job
}

// call runs the job's command line in a folder of its own.
func call(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	t.Chdir(t.TempDir())
	var out, errs bytes.Buffer
	code = mainWith(t.Context(), append([]string{"tiny"}, args...), &out, &errs, tiny, About[noParams]("Does little."))
	return out.String(), errs.String(), code
}

func TestHelp(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, args := range [][]string{{"--help"}, {"coordinator", "--help"}, {"worker", "--help"}, {"plan", "--help"}} {
		out, errs, code := call(t, args...)
		if code != 0 || errs != "" {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
		all.WriteString("$ tiny " + strings.Join(args, " ") + "\n" + out + "\n")
	}
	golden(t, filepath.Join(wd, "testdata", "help.golden"), all.String())
}

// golden compares what was said with a file.
func golden(t *testing.T, path, said string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(said), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), said); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", filepath.Base(path), diff)
	}
}

func TestWrongFlags(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--unknown"}, "unknown flag --unknown"}, {[]string{"extra"}, "unexpected argument extra"}, {[]string{"--checkpoint", "soon"}, "--checkpoint"},
		{[]string{"--partitions=-1"}, "--partitions -1: it must be 1 to 65536"}, {[]string{"--partitions", "65537"}, "it must be 1 to 65536"},
		{[]string{"--rate=-1"}, "--rate and --lanes cannot be negative"}, {[]string{"--lanes", "257"}, "--lanes is at most 256"},
		{[]string{"--checkpoint=-1s"}, "cannot be negative"}, {[]string{"--lease=-1s"}, "cannot be negative"},
		{[]string{"--cache-size", "much"}, `"much" is no size`}, {[]string{"--cache-size=-5"}, `"-5" is no size`},
		{[]string{"--on-bad-record", "ignore"}, "--on-bad-record"}, {[]string{"--log-level", "loud"}, "--log-level"}, {[]string{"--bucket", "ftp://x"}, "not ftp"},
		{[]string{"--config", "missing.yaml"}, "missing.yaml"}, {[]string{"coordinator", "--listen", "0.0.0.0:0"}, "listening on 0.0.0.0:0 without a token"},
	} {
		_, errs, code := call(t, c.args...)
		if code != exitUsage || !strings.Contains(errs, c.says) {
			t.Errorf("%v: exit %d, %q; want %d and %q", c.args, code, errs, exitUsage, c.says)
		}
	}
}

func TestRunsToItsEnd(t *testing.T) {
	out, errs, code := call(t, "--log-format", "json")
	if code != 0 || errs != "" || !strings.Contains(out, `Job "tiny" ended. It read 0 rows of "in" (1 split)`) {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

// A flag goes before the environment, and that before the file.
func TestWhereFlagsComeFrom(t *testing.T) {
	t.Setenv("SABOT_RATE", "")
	config := filepath.Join(t.TempDir(), "conf.yaml")
	if err := os.WriteFile(config, []byte("rate: -3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Unsetenv("SABOT_RATE"); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := call(t, "--config", config); code != exitUsage || !strings.Contains(errs, "--rate") {
		t.Errorf("the file's rate is not taken: exit %d, %s", code, errs)
	}
	t.Setenv("SABOT_RATE", "5")
	if _, errs, code := call(t, "--config", config); code != 0 {
		t.Errorf("the environment does not go before the file: exit %d, %s", code, errs)
	}
	if _, _, code := call(t, "--config", config, "--rate=-1"); code != exitUsage {
		t.Errorf("the flag does not go before the environment: exit %d", code)
	}
}

func TestLogs(t *testing.T) {
	for format, want := range map[string]string{"text": "level=WARN msg=hello key=1", "json": `"level":"WARN","msg":"hello","key":1`} {
		var b bytes.Buffer
		l := logger(&b, slog.LevelWarn, format)
		l.Info("not this")
		l.Warn("hello", "key", 1)
		if !strings.Contains(b.String(), want) || strings.Contains(b.String(), "not this") {
			t.Errorf("%s: %q, want %q", format, b.String(), want)
		}
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", -999: "-999"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

func TestDefaults(t *testing.T) {
	var o Options
	if err := o.defaults(); err != nil || o.Bucket != ".sabot" || o.Checkpoint != time.Second || o.Lease != 5*time.Second || o.Lanes < 1 {
		t.Errorf("%+v, %v", o, err)
	}
}
