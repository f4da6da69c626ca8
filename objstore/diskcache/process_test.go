package diskcache

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// childDir names the folder of a process that puts pages until it is killed.
const childDir = "SABOT_TEST_DISKCACHE_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		c, err := Open(dir, Options{Bytes: superSize + 16*(small+headerSize), Bucket: "b", PageSize: small})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(c.Dir())
		for i := int64(0); ; i++ {
			c.Put("a", i%40, page("a", i%40, small))
			fmt.Println(i)
		}
	}
	os.Exit(m.Run())
}

// A process that is killed while it writes keeps its folder to itself until then, and leaves pages that are right or missing.
func TestKilledProcess(t *testing.T) {
	dir := t.TempDir()
	there := int64(0)
	for round := range 5 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 60+7*round && lines.Scan(); n++ {
			if n == 0 && filepath.Base(lines.Text()) != "0" {
				t.Errorf("round %d: the process has %s, the first is free", round, lines.Text())
			}
		}
		other := open(t, dir, 16)
		if filepath.Base(other.Dir()) != "1" {
			t.Errorf("%s is of a live process", other.Dir())
		}
		_ = other.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // that it was killed
		c := open(t, dir, 16)
		if filepath.Base(c.Dir()) != "0" {
			t.Errorf("the folder of a process that was killed is not taken up: %s", c.Dir())
		}
		for i := range int64(40) {
			if want(t, c, "a", i, small) {
				there++
			}
		}
		if s := c.Stats(); s.Corrupt > 1 {
			t.Errorf("more than the page that was being written is corrupt: %+v", s)
		}
		_ = c.Close()
	}
	if there < 5*14 {
		t.Errorf("%d pages were there after five kills", there)
	}
}

// Whatever an index holds, its slots are pages or not.
func FuzzHeader(f *testing.F) {
	var b [headerSize]byte
	f.Add(b[:])
	(&header{page: 3, n: small, crc: 1}).encode(&b)
	f.Add(b[:])
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) != headerSize {
			return
		}
		h, ok := decodeHeader(in, small)
		if !ok {
			return
		}
		var out [headerSize]byte
		h.encode(&out)
		if h.n == 0 || h.n > small || !bytes.Equal(in[:32], out[:32]) {
			t.Errorf("%+v of % x", h, in)
		}
	})
}
