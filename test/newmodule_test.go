package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// README's program builds and runs in a module of its own.
func TestOwnModule(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "<!-- test/newmodule_test.go builds and runs this program -->\n```go\n")
	program, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatal("README.md has no marked program")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	// The versions are the repository's own, so that nothing has to be looked up.
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	own := strings.Replace(string(mod), "module github.com/sabot-stream/sabot", "module example.com/words", 1) +
		"\nrequire github.com/sabot-stream/sabot v0.0.0\n\nreplace github.com/sabot-stream/sabot => " + root + "\n"
	input := `{"at":"2026-01-01T10:00:01Z","text":"to be or not to be"}` + "\n" + `{"at":"2026-01-01T10:01:30Z","text":"to sleep"}` + "\n"
	for name, content := range map[string]string{"main.go": program, "go.mod": own, "go.sum": string(sum), "in.jsonl": input} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "run", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go run: %v\n%s", err, out)
	}
	mustContain(t, string(out), `Job "words" ended`)
	paths, err := filepath.Glob(filepath.Join(dir, "out", "*.jsonl"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("nothing was published: %v", err)
	}
	all := ""
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		all += string(b)
	}
	mustContain(t, all, `{"word":"to","window_start":"2026-01-01T10:00:00Z","window_end":"2026-01-01T10:01:00Z","count":2}`,
		`{"word":"sleep","window_start":"2026-01-01T10:01:00Z","window_end":"2026-01-01T10:02:00Z","count":1}`)
	if n := strings.Count(all, "\n"); n != 6 {
		t.Errorf("%d rows, want 6:\n%s", n, all)
	}
}
