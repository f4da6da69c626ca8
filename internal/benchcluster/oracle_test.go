package benchcluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// output returns the lines that the sinks note of a job without faults, computed row by row.
func output(p Params) (lines []string) {
	kept, nth := map[int64]string{}, map[int64]int64{}
	counts := map[string][2]int64{}
	buf := make([]byte, p.Value)
	var order []string
	for r := range p.source().All() {
		key := r.Row % p.Keys
		nth[key]++
		lines = append(lines, fmt.Sprintf("seen out-%d 5 %d 0 %d %d", r.Row/10, r.Row, nth[key], digest(kept[key])))
		fill(buf, r.Row)
		kept[key] = string(buf)
		at := fmt.Sprint(key, " ", r.At.Truncate(window).UnixMicro())
		if _, ok := counts[at]; !ok {
			order = append(order, at)
		}
		counts[at] = [2]int64{counts[at][0] + 1, counts[at][1] + r.Value}
	}
	for _, at := range order {
		lines = append(lines, fmt.Sprintf("counted counted-%s 5 %s %d %d", strings.Fields(at)[0], at, counts[at][0], counts[at][1]))
	}
	return lines
}

func TestCheckFindsWhatDiffers(t *testing.T) {
	p := Params{Rows: 100, Keys: 16, Value: 20, Emit: 1, Windows: true}
	all := output(p)
	for name, c := range map[string]struct {
		with func(lines []string) []string
		want string // in the error; empty: nothing differs
	}{
		"as it should be":             {func(l []string) []string { return l }, ""},
		"published again":             {func(l []string) []string { return append(l, strings.Replace(l[0], " 5 ", " 6 ", 1)) }, ""},
		"cut off":                     {func(l []string) []string { return append(l, "seen out-9 5 1") }, ""},
		"a row is missing":            {func(l []string) []string { return append(l[:7:7], l[8:]...) }, "row 7 is missing"},
		"a row twice":                 {func(l []string) []string { return append(l, strings.Replace(l[3], "out-0", "out-99", 1)) }, "twice"},
		"a row that was never sent":   {func(l []string) []string { return append(l, "seen out-99 5 100 0 1 0") }, "not in the input"},
		"state of another row":        {func(l []string) []string { return swap(l, 30, 31) }, "after digest"},
		"a window is missing":         {func(l []string) []string { return l[:len(l)-1] }, "has counts"},
		"a window twice":              {func(l []string) []string { return append(l, strings.Replace(l[len(l)-1], "counted-", "again-", 1)) }, "twice"},
		"a window that should not be": {func(l []string) []string { return append(l, "counted x 5 3 77 1 1") }, "windows"},
		"a window of another count":   {func(l []string) []string { return append(l[:len(l)-1], recount(l[len(l)-1])) }, "has counts"},
	} {
		dir := t.TempDir()
		lines := c.with(append([]string(nil), all...))
		if err := os.WriteFile(filepath.Join(dir, "1.samples"), []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		wrong, rows, err := p.check(dir)
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want == "" && (wrong != nil || rows != int64(len(all))):
			t.Errorf("%s: %d rows, %v; want %d rows", name, rows, wrong, len(all))
		case c.want != "" && (wrong == nil || !strings.Contains(wrong.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, wrong, c.want)
		}
	}
}

// swap exchanges what two rows say of the state before them.
func swap(lines []string, i, j int) []string {
	a, b := strings.Fields(lines[i]), strings.Fields(lines[j])
	a[6], b[6] = b[6], a[6]
	lines[i], lines[j] = strings.Join(a, " "), strings.Join(b, " ")
	return lines
}

// recount changes the count of a window.
func recount(line string) string {
	f := strings.Fields(line)
	f[5] += "1"
	return strings.Join(f, " ")
}
