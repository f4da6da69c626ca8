package test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sabot-stream/sabot/test/deal"
)

// A job that is data runs on cmd/coordinator and cmd/worker, and by sabot run, and comes to what its Go program comes to. A worker of another job is refused.
func TestJobFile(t *testing.T) {
	flights := mustFlights(t, slice)
	pattern, written, err := deal.Deal(t.TempDir(), flights, deal.How{Seed: 3, Files: 4, Displace: 50e9, Format: "parquet"})
	if err != nil {
		t.Fatal(err)
	}
	j := newJob(t, "flights", pattern)
	file, err := filepath.Abs("../examples/flights/flights.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var logs [4]bytes.Buffer
	start := func(i int, binary string, args ...string) *exec.Cmd {
		t.Helper()
		cmd := exec.CommandContext(ctx, filepath.Join(bin, binary), append(args, "--param", "input="+pattern+";output="+j.output(), "--bucket", j.bucket())...)
		cmd.Stdout, cmd.Stderr, cmd.Dir = &logs[i], &logs[i], j.dir
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	addr := freeAddr(t)
	coordinator := start(0, "coordinator", "--job-file", file, "--listen", addr, "--checkpoint", "200ms")
	workers := []*exec.Cmd{start(1, "worker", "--example", "flights", "--coordinator", addr, "--rate", "20000"),
		start(2, "worker", "--job-file", file, "--coordinator", addr, "--rate", "20000")}
	other := filepath.Join(t.TempDir(), "other.yaml")
	b, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(other, bytes.ReplaceAll(b, []byte("max(delay)"), []byte("min(delay)")), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if s, ok := j.inspect(); ok && s.Epoch > 0 {
			break
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("no checkpoint comes: %s", &logs[0])
		}
	}
	if err := start(3, "worker", "--job-file", other, "--coordinator", addr).Wait(); err == nil || !strings.Contains(logs[3].String(), "another job than the one committed") {
		t.Errorf("a worker of another job: %v\n%s", err, &logs[3])
	}
	for i, p := range append([]*exec.Cmd{coordinator}, workers...) {
		if err := p.Wait(); err != nil {
			t.Errorf("process %d: %v\n%s", i, err, &logs[i])
		}
	}
	j.exact(written)
	j.clean()

	alone := newJob(t, "flights", pattern)
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "sabot"), "run", "--job-file", file, "--param", "input="+pattern+";output="+alone.output(), "--bucket", alone.bucket())
	cmd.Dir = alone.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sabot run: %v\n%s", err, out)
	}
	alone.exact(written)
}
