package benchcluster

import "fmt"

// check compares what the sinks have noted with brute force. Wrong says what differs; rows is how many there are, each output counted once.
func (p Params) check(folder string) (wrong error, rows int64, err error) {
	first := map[string]int64{} // when an output was published first: it may be again, after a failure
	passed := make([]bool, p.Rows)
	counts := map[[2]int64][2]int64{}
	buf := make([]byte, p.Value)
	say := func(format string, args ...any) {
		if wrong == nil {
			wrong = fmt.Errorf("the output is not that of brute force: "+format, args...)
		}
	}
	err = samples(folder, func(s sample) {
		if at, ok := first[s.output]; ok && at != s.at {
			return
		}
		first[s.output] = s.at
		rows++
		if s.sink == "counted" {
			at := [2]int64{s.row[0], s.row[1]}
			if _, again := counts[at]; again {
				say("key %d has the window of %d twice", s.row[0], s.row[1])
			}
			counts[at] = [2]int64{s.row[2], s.row[3]}
			return
		}
		row := s.row[0]
		if row < 0 || row >= p.Rows || passed[row] {
			say("row %d is there that is not in the input, or twice", row)
			return
		}
		passed[row] = true
		before := int64(0)
		if row >= p.Keys {
			fill(buf, row-p.Keys)
			before = digest(string(buf))
		}
		if nth := row/p.Keys + 1; s.row[2] != nth || s.row[3] != before {
			say("row %d is number %d of its key, after digest %d; want %d, %d", row, s.row[2], s.row[3], nth, before)
		}
	})
	if err != nil {
		return nil, rows, err
	}
	want := map[[2]int64][2]int64{}
	for r := range p.source().All() {
		if r.Row%p.Emit == 0 && !passed[r.Row] {
			say("row %d is missing", r.Row)
		}
		if p.Windows {
			at := [2]int64{r.Row % p.Keys, r.At.Truncate(window).UnixMicro()}
			c := want[at]
			want[at] = [2]int64{c[0] + 1, c[1] + r.Value}
		}
	}
	for at, c := range want {
		if counts[at] != c {
			say("key %d has counts %v in the window of %d, want %v", at[0], counts[at], at[1], c)
		}
	}
	if len(counts) > len(want) {
		say("%d windows, want %d", len(counts), len(want))
	}
	return wrong, rows, nil
}
