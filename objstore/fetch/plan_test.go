package fetch

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

const kib = 1 << 10

// at is a range in KiB.
func at(object string, off, n, size int64) Range {
	return Range{object, off * kib, n * kib, size * kib}
}

// Which GETs bring which ranges.
func TestPlanGolden(t *testing.T) {
	remote := planning{page: 64 * kib, gap: 512 * kib, most: 8192 * kib}
	local := planning{gap: 16 * kib, most: 65536 * kib}
	var got strings.Builder
	for _, c := range []struct {
		what  string
		rules planning
		want  []Range
	}{
		{"nothing", remote, nil},
		{"a range within a page of an object of unknown size: no byte behind it may be asked for", remote, []Range{at("a", 70, 10, 0)}},
		{"a range within a page: the page", remote, []Range{at("a", 70, 10, 1000)}},
		{"the last page: up to the object's end", remote, []Range{at("a", 970, 10, 1000)}},
		{"ranges out of order, of two objects", remote, []Range{at("b", 0, 1, 2000), at("a", 640, 1, 2000), at("a", 0, 1, 2000)}},
		{"a gap that is read along, and one that is not", remote, []Range{at("a", 0, 64, 4000), at("a", 576, 64, 4000), at("a", 1217, 1, 4000)}},
		{"a gap that is too long, also between whole pages", remote, []Range{at("a", 0, 1, 4000), at("a", 640, 1, 4000)}},
		{"overlapping ranges", remote, []Range{at("a", 10, 100, 4000), at("a", 20, 10, 4000), at("a", 90, 100, 4000)}},
		{"a long range: GETs of about one length that run at the same time", remote, []Range{at("a", 100, 20000, 30000)}},
		{"an object as a whole", remote, []Range{at("a", 0, 9000, 9000), at("a", 128, 64, 9000)}},
		{"an empty range", remote, []Range{at("a", 10, 0, 100)}},
		{"without pages: the ranges themselves", local, []Range{at("a", 70, 10, 1000), at("a", 96, 1, 1000), at("a", 114, 1, 1000), at("b", 0, 100000, 0)}},
	} {
		fmt.Fprintf(&got, "%s\n", c.what)
		for _, r := range c.want {
			fmt.Fprintf(&got, "  want %s\n", show(r))
		}
		for _, g := range c.rules.plan(c.want) {
			fmt.Fprintf(&got, "  GET  %s\n", show(g))
		}
	}
	const path = "testdata/plan.golden"
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("-want +got, in KiB:\n%s", d)
	}
}

func show(r Range) string {
	s := fmt.Sprintf("%s %g..%g", r.Object, float64(r.Off)/kib, float64(r.end())/kib)
	if r.Size > 0 {
		s += fmt.Sprintf(" of %g", float64(r.Size)/kib)
	}
	return s
}

// Whatever is wanted, a plan has all of it, nothing twice, nothing that is not there, and no GET that is too long or begins within a page.
func TestPlansAreRight(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		p := planning{gap: r.Int64N(300), most: 1 + r.Int64N(500)}
		if r.IntN(2) == 0 {
			p.page = 1 + r.Int64N(64)
			p.most = (p.most + p.page) / p.page * p.page
		}
		sizes := map[string]int64{"a": 1 + r.Int64N(3000), "b": 1 + r.Int64N(100)}
		known := r.IntN(2) == 0
		var want []Range
		for range r.IntN(12) {
			w := Range{Object: string(rune('a' + r.IntN(2)))}
			size := sizes[w.Object]
			w.Off = r.Int64N(size)
			w.N = r.Int64N(size - w.Off + 1)
			if known {
				w.Size = size
			}
			want = append(want, w)
		}
		gets := p.plan(want)
		for i, g := range gets {
			if i > 0 && gets[i-1].Object == g.Object && gets[i-1].end() > g.Off || g.N <= 0 || g.N > p.most || g.end() > sizes[g.Object] || p.page > 0 && g.Off%p.page != 0 {
				t.Fatalf("%+v of %+v: GET %d of %+v", p, want, i, gets)
			}
		}
		for _, w := range want {
			from, to := covering(gets, w)
			off := w.Off
			for _, g := range gets[from:to] {
				if g.Off > off {
					break
				}
				off = max(off, g.end())
			}
			if w.N > 0 && off < w.end() {
				t.Fatalf("%+v of %+v: %+v is not all in %+v", p, want, w, gets)
			}
		}
	}
}
