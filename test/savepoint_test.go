package test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/sabot-stream/sabot/test/deal"
)

// A job that runs as a cluster is given savepoints, is stopped with one, goes back to the first, and comes to the same output; a clone of it does too.
func TestSavepointsOfACluster(t *testing.T) {
	flights := mustFlights(t, slice)
	pattern, written, err := deal.Deal(t.TempDir(), flights, deal.How{Seed: 9, Files: 6, Displace: 50e9, Format: "parquet"})
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{job: newJob(t, "flights", pattern), procs: map[string]*exec.Cmd{}, addrs: []string{freeAddr(t)}}
	c.url = c.bucket()
	t.Cleanup(func() {
		for name := range c.procs {
			c.kill(name)
		}
	})
	at := []string{"--bucket", c.url, "--job", "flights", "--coordinator", c.addrs[0]}
	say := func(args ...string) string {
		t.Helper()
		out, err := c.sabot(args...)
		if err != nil {
			t.Fatalf("sabot %q: %v\n%s", args, err, out)
		}
		return out
	}
	refused := func(want string, args ...string) {
		t.Helper()
		out, err := c.sabot(args...)
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("sabot %q: %v, want an error that says %q:\n%s", args, err, want, out)
		}
	}
	c.coordinator(0)
	c.worker(0)
	c.worker(1)
	c.reach(10_000)
	mustContain(t, say(append([]string{"savepoint", "create", "early"}, at...)...), "Savepoint early keeps checkpoint")
	refused(`has a savepoint "early" already`, append([]string{"savepoint", "create", "early"}, at...)...)
	refused("the job is being run by", "savepoint", "create", "other", "--bucket", c.url)
	refused("stopped", append([]string{"savepoint", "restore", "early"}, at...)...)
	c.reach(30_000)
	mustContain(t, say(append([]string{"clone", "twin"}, at...)...), "Job twin begins where")
	mustContain(t, say("stop", "--savepoint", "--name", "last", "--coordinator", c.addrs[0]), "keeps it as savepoint last")
	if err := c.procs["coordinator-0"].Wait(); err != nil {
		t.Errorf("the stopped coordinator: %v", err)
	}
	list := say("savepoint", "ls", "--bucket", c.url, "--job", "flights")
	mustContain(t, list, "early", "last", "clone", "twin")
	if strings.Contains(list, "not yet") {
		t.Errorf("a savepoint was not written when the job stopped:\n%s", list)
	}

	mustContain(t, say("savepoint", "restore", "early", "--bucket", c.url, "--job", "flights"), "Job flights goes on from early")
	mustContain(t, say("inspect", "--bucket", c.url, "--job", "flights"), "rows read")
	mustContain(t, c.finish(), "flights")
	c.exact(written)

	twin := &job{t, "flights", t.TempDir(), c.input} // its output goes to a folder of its own
	out := twin.finish("--bucket", c.url, "--as", "twin")
	mustContain(t, out, "twin")
	twin.exact(written)
	for _, job := range []string{"flights", "twin"} {
		mustContain(t, say("fsck", "--bucket", c.url, "--job", job), "all there and whole")
	}
	for _, name := range []string{"early", "last"} {
		mustContain(t, say("savepoint", "rm", name, "--bucket", c.url, "--job", "flights"), "Removed: savepoint "+name)
	}
}
