package test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sabot-stream/sabot/internal/miniotest"
)

// The status names a bucket that has frozen, and the call that waits; when it is back the job goes on. Nothing that anybody can read shows a secret.
func TestStatusOfAFrozenBucket(t *testing.T) {
	m := miniotest.Start(t)
	const token = "the-token-of-all-processes-of-this-job"
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCluster(newJob(t, "clicks", ""), m.Bucket("sabot-status"), "--clicks", "1000000")
	c.rate = 1000
	c.start("coordinator-0", "coordinator", "--listen", c.addrs[0], "--checkpoint", "200ms", "--token-file", tokenFile)
	c.start("worker-0", "worker", "--coordinator", c.addrs[0], "--name", "worker-0", "--rate", "1000", "--token-file", tokenFile)
	status := func(flags ...string) string {
		out, err := c.sabot(append([]string{"status", "--coordinator", c.addrs[0], "--token-file", tokenFile}, flags...)...)
		if err != nil {
			return "" // nobody leads yet
		}
		return strings.Join(strings.Fields(out), " ") // it wraps lines
	}
	c.until("the status to tell how busy the worker is", func() bool { return strings.Contains(status(), "held to --rate") })
	m.Freeze()
	thawed := false
	t.Cleanup(func() {
		if !thawed {
			m.Thaw()
		}
	})
	c.until("the status to name the bucket", func() bool {
		s := status()
		return strings.Contains(s, "stuck: bucket, as worker-0 sees it: put of clicks/packs/") || strings.Contains(s, "stuck: bucket, as the coordinator sees it: put_if of")
	})
	seen := map[string]string{"status": status("--partitions"), "status --json": status("--json")}
	for what, text := range seen {
		if !strings.Contains(text, "is not answered") {
			t.Errorf("%s does not tell what the bucket leaves unanswered:\n%s", what, text)
		}
	}
	m.Thaw()
	thawed = true
	c.until("the bucket's trouble to be over", func() bool { s := status(); return s != "" && !strings.Contains(s, "stuck:") })
	c.reads(some)

	logs, err := filepath.Glob(filepath.Join(c.dir, "*.log"))
	if err != nil || len(logs) != 2 {
		t.Fatalf("%d logs, %v, want two", len(logs), err)
	}
	for _, path := range append(logs, filesBelow(t, m.Disk("sabot-status"))...) {
		b, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) { // the job runs, and deletes
			t.Fatal(err)
		}
		seen[path] = string(b)
	}
	for what, text := range seen {
		for _, secret := range []string{miniotest.Password, token} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows a secret", what)
			}
		}
	}
}

// filesBelow lists the files below a folder.
func filesBelow(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			paths = append(paths, path)
		}
		if os.IsNotExist(err) { // likewise
			return nil
		}
		return err
	})
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d files in %s, %v", len(paths), dir, err)
	}
	return paths
}
