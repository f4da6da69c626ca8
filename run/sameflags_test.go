package run

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// samples are two values for a flag.
func samples(f *kong.Flag) (a, b string) {
	switch {
	case f.Enum != "":
		values := f.EnumSlice()
		return values[len(values)-1], values[0]
	case f.IsBool():
		return "true", "false"
	}
	switch f.Target.Interface().(type) {
	case int, int64:
		return "17", "18"
	case []string:
		return "h:1,h:2", "h:3"
	}
	switch f.Target.Type().String() {
	case "time.Duration":
		return "17s", "18s"
	case "run.byteSize":
		return "17MiB", "18GB"
	case "slog.Level":
		return "error", "debug"
	}
	return "one", "two"
}

// sameFlags goes through every flag of a command line: --x, SABOT_X and x: in the file mean the same, and the first of them that is given counts.
func sameFlags[T any](t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	line := func(file string, env map[string]string, args ...string) (*T, string) {
		path := filepath.Join(dir, "config.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		for k, v := range env {
			t.Setenv(k, v)
			defer os.Unsetenv(k)
		}
		into := new(T)
		var out, errs bytes.Buffer
		if parsed, code := parse(into, append([]string{"x", "--config", path}, args...), "", &out, &errs); parsed == nil {
			return into, fmt.Sprintf("exit %d: %s", code, errs.String())
		}
		return into, ""
	}
	parser, err := kong.New(new(T), kong.DefaultEnvars("SABOT"))
	if err != nil {
		t.Fatal(err)
	}
	unset, _ := line("", nil)
	seen := 0
	for _, f := range parser.Model.AllFlags(true)[0] {
		if f.Name == "help" || f.Name == "config" {
			continue
		}
		seen++
		a, b := samples(f)
		env := "SABOT_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		byFlag, bad1 := line("", nil, "--"+f.Name+"="+a)
		byEnv, bad2 := line("", map[string]string{env: a})
		byFile, bad3 := line(f.Name+": "+a+"\n", nil)
		for way, bad := range map[string]string{"flag": bad1, env: bad2, "file": bad3} {
			if bad != "" {
				t.Errorf("%s=%s by %s: %s", f.Name, a, way, bad)
			}
		}
		same := func(what string, got, want *T) {
			t.Helper()
			if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Exporter(func(reflect.Type) bool { return true })); d != "" {
				t.Errorf("--%s: %s:\n%s", f.Name, what, d)
			}
		}
		same("the environment differs from the flag", byEnv, byFlag)
		same("the file differs from the flag", byFile, byFlag)
		if cmp.Equal(unset, byFlag, cmpopts.EquateEmpty(), cmp.Exporter(func(reflect.Type) bool { return true })) {
			t.Errorf("--%s=%s changes nothing: choose another sample", f.Name, a)
		}
		over, _ := line(f.Name+": "+b+"\n", map[string]string{env: b}, "--"+f.Name+"="+a)
		same("the flag does not go before the others", over, byFlag)
		over, _ = line(f.Name+": "+b+"\n", map[string]string{env: a})
		same("the environment does not go before the file", over, byFlag)
	}
	if seen < 15 {
		t.Errorf("only %d flags", seen)
	}
}

func TestFlagsEnvironmentAndFileMeanTheSame(t *testing.T) {
	t.Run("coordinator", func(t *testing.T) { sameFlags[roleLine[noParams, coordinatorFlags]](t) })
	t.Run("worker", func(t *testing.T) { sameFlags[roleLine[noParams, workerFlags]](t) })
	t.Run("run", func(t *testing.T) { sameFlags[commandLine[noParams]](t) })
}
