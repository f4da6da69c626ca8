package benchmicro

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstore/mem"
)

func storeWorks() []Work {
	return []Work{
		{Name: "cut.1M", Units: []Unit{{Suffix: ".stall", Name: "ms"}, {Suffix: ".total", Name: "ms"}}, Open: cuts},
		{Name: "compaction", Units: []Unit{{Name: "MB/s", More: true}}, Open: compactions},
		{Name: "resume.first-lookup", Units: []Unit{{Name: "ms"}}, Open: resumes},
	}
}

// values is a row's values in a Go map.
type values [Values]int64

type pair struct{ a, b int64 }

const dirtyKeys = 1_000_000

// A million keys of 16 bytes have changed, each with 32 bytes of values. Stall is what the lane waits for, total is with sorting and encoding. By hand: a
// Go map is cloned, sorted by key and written to a buffer.
func cuts(bool) (*Race, error) {
	l, err := NewLane(context.Background(), mem.New())
	if err != nil {
		return nil, err
	}
	plain := map[pair]values{}
	for n := range int64(dirtyKeys) {
		a, b := Key(n)
		plain[pair{a, b}] = values{}
	}
	l.Fill(dirtyKeys, batchRows)
	if err := l.Write(l.Barrier()); err != nil {
		return nil, err
	}
	return &Race{
		Close: func() error { l.Close(); return nil },
		Sabot: func(context.Context) ([]float64, error) {
			for slot := range uint32(dirtyKeys) {
				l.Touch(slot)
			}
			var f *objstate.Frozen
			stall, _ := worked(func() error { f = l.Barrier(); return nil })
			rows := 0
			rest, err := worked(func() error {
				return f.Encode(func(_ []byte, m objstate.Meta) error { rows += m.Info.Rows; return nil })
			})
			return []float64{stall.Seconds() * 1e3, (stall + rest).Seconds() * 1e3}, errors.Join(err, same("rows", rows, dirtyKeys))
		},
		Baseline: func(context.Context) ([]float64, error) {
			var clone map[pair]values
			stall, _ := worked(func() error { clone = maps.Clone(plain); return nil })
			rows := 0
			rest, err := worked(func() error { rows = len(flatten(clone)) / rowBytes; return nil })
			return []float64{stall.Seconds() * 1e3, (stall + rest).Seconds() * 1e3}, errors.Join(err, same("rows", rows, dirtyKeys))
		},
	}, nil
}

const rowBytes = 16 + 8*Values

// flatten writes a map in the order of its keys.
func flatten(m map[pair]values) []byte {
	keys := make([]pair, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(x, y pair) int { return cmp.Or(cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b)) })
	dst := make([]byte, 0, len(m)*rowBytes)
	for _, k := range keys {
		dst = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, uint64(k.a)), uint64(k.b))
		for _, v := range m[k] {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
		}
	}
	return dst
}

const (
	mergedRows      = 250_000 // of each segment
	mergedQuickRows = 25_000
	merged          = 4
)

// Four segments, of which neighbours share half of their keys, are merged; MB are those of raw rows that go in. By hand they are read into a Go map, which
// is sorted and written.
func compactions(quick bool) (*Race, error) {
	n := int64(mergedRows)
	if quick {
		n = mergedQuickRows
	}
	l, err := NewLane(context.Background(), mem.New())
	if err != nil {
		return nil, err
	}
	var flat [][]byte
	for i := range int64(merged) {
		from := i * n / 2
		l.fill(from, n, batchRows)
		if err := l.Write(l.Barrier()); err != nil {
			return nil, err
		}
		rows := map[pair]values{}
		for k := from; k < from+n; k++ {
			a, b := Key(k)
			rows[pair{a, b}] = values{i}
		}
		flat = append(flat, flatten(rows))
	}
	left := int(n*merged+n) / 2
	rate := func(f func() error) Side {
		return func(context.Context) ([]float64, error) {
			d, err := spent(f)
			return []float64{float64(n*merged*rowBytes) / 1e6 / d.Seconds()}, err
		}
	}
	return &Race{
		Close: func() error { l.Close(); return nil },
		Sabot: rate(func() error {
			_, info, err := objstate.Compact(l.fetch, l.refs, true)
			return errors.Join(err, same("rows", info.Rows, left))
		}),
		Baseline: rate(func() error {
			m := map[pair]values{}
			for _, f := range flat {
				for ; len(f) > 0; f = f[rowBytes:] {
					m[pair{int64(binary.BigEndian.Uint64(f)), int64(binary.BigEndian.Uint64(f[8:]))}] = valuesOf(f[16:])
				}
			}
			return same("rows", len(flatten(m))/rowBytes, left)
		}),
	}, nil
}

func valuesOf(b []byte) (v values) {
	for i := range v {
		v[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return v
}

const (
	resumedRows      = 5_000_000
	resumedQuickRows = 200_000
)

// A lane begins with a state that is in a folder, 48 bytes a row, and finds the 4096 keys of its first batch: from the segments' indexes on, against
// reading the state whole first.
func resumes(quick bool) (*Race, error) {
	n := int64(resumedRows)
	if quick {
		n = resumedQuickRows
	}
	bucket, remove, err := folder()
	if err != nil {
		return nil, err
	}
	full, err := stored(context.Background(), bucket, n)
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	r := rand.New(rand.NewPCG(1, 6))
	begin := func(find func(*Lane, []objstate.Want) int) Side {
		return func(ctx context.Context) ([]float64, error) {
			wants := Wants(r, n, wantRows)
			return Milliseconds(func() error {
				l, err := full.Resume()
				if err != nil {
					return err
				}
				defer l.Leave()
				return same("keys found", find(l, wants), wantRows)
			})(ctx)
		}
	}
	full.Reset()
	return &Race{
		Close: func() error { full.Close(); return remove() },
		Sabot: begin(func(l *Lane, wants []objstate.Want) int { l.Find(wants); return l.Found }),
		Baseline: begin(func(l *Lane, wants []objstate.Want) (found int) {
			l.ReadWhole()
			for _, w := range wants {
				if slot := l.Lookup(w.Hash, w.Key); slot != objstate.NoSlot && bytes.Equal(l.Key(slot), w.Key) {
					found++
				}
			}
			return found
		}),
	}, nil
}
