package objstate

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sabot-stream/sabot/arrow/rowkey"
)

// plainIndex is an Index as Go maps.
type plainIndex struct {
	slots map[string]uint32
	keys  map[uint32]string
}

// hashings are ways in which hashes of keys may fall.
var hashings = map[string]func(key []byte) uint64{
	"even":                      rowkey.HashOf,
	"one of four":               func(key []byte) uint64 { return rowkey.HashOf(key) & 3 },
	"one half that is alike":    func(key []byte) uint64 { return rowkey.HashOf(key)<<32 | 7 },
	"the end of pages":          func(key []byte) uint64 { return rowkey.HashOf(key) | 1<<pageBits - 4 },
	"one page, however divided": func(key []byte) uint64 { return rowkey.HashOf(key) &^ (1<<(pageBits+deepest) - 1<<pageBits) },
}

// randomKey returns one of about so many keys, of lengths around those of cells.
func randomKey(r *rand.Rand, n int) []byte {
	k := r.IntN(n)
	lengths := []int{1, 3, 4, 7, 8, 9, 14, 15, 16, 17, 30, 31, 32, 33, 100, 300}
	key := bytes.Repeat([]byte{byte(k)}, lengths[k%len(lengths)])
	return append(key[:len(key):len(key)], fmt.Sprintf("%x", k)...)[min(len(key)-1, len(fmt.Sprintf("%x", k))):]
}

// Through random changes an index has the keys and slots that maps have, whatever the hashes and the lengths of keys.
func TestIndexAgainstMap(t *testing.T) {
	for name, hash := range hashings {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				r := rand.New(rand.NewPCG(seed, 5))
				x, m := &Index{}, &plainIndex{map[string]uint32{}, map[uint32]string{}}
				n := 1 + r.IntN(400)
				for step := range 400 {
					at := fmt.Sprintf("seed %d, step %d", seed, step)
					switch op := r.IntN(40); {
					case op < 20:
						key := randomKey(r, n)
						slot, fresh := x.Upsert(hash(key), key)
						m.upserted(t, at, key, slot, fresh)
					case op < 28:
						m.batch(t, at, x, r, n, hash)
					case op < 39:
						key := randomKey(r, n)
						slot := x.Lookup(hash(key), key)
						if want, ok := m.slots[string(key)]; ok != (slot != NoSlot) || ok && slot != want {
							t.Fatalf("%s: Lookup(%q) is %d, want %d %t", at, key, slot, want, ok)
						}
						if slot != NoSlot {
							x.Delete(slot)
							delete(m.slots, string(key))
							delete(m.keys, slot)
						}
					case r.IntN(10) == 0:
						x.Reset()
						m.slots, m.keys = map[string]uint32{}, map[uint32]string{}
					}
					m.same(t, at, x, hash)
				}
			}
		})
	}
}

func (m *plainIndex) upserted(t *testing.T, at string, key []byte, slot uint32, fresh bool) {
	t.Helper()
	want, has := m.slots[string(key)]
	if fresh == has || has && slot != want {
		t.Fatalf("%s: the slot of %q is %d, new %t; want %d, new %t", at, key, slot, fresh, want, !has)
	}
	if other, taken := m.keys[slot]; !has && taken {
		t.Fatalf("%s: %q has slot %d, which %q has", at, key, slot, other)
	}
	m.slots[string(key)], m.keys[slot] = slot, string(key)
}

func (m *plainIndex) batch(t *testing.T, at string, x *Index, r *rand.Rand, n int, hash func([]byte) uint64) {
	t.Helper()
	keys := rowkey.Column{Offsets: []int32{0}}
	var hashes []uint64
	var rows []int32
	for i := range r.IntN(3 * stage) {
		key := randomKey(r, n)
		keys.Bytes = append(keys.Bytes, key...)
		keys.Offsets = append(keys.Offsets, int32(len(keys.Bytes)))
		if hashes = append(hashes, hash(key)); r.IntN(3) > 0 {
			rows = append(rows, int32(i))
		}
	}
	slots, fresh := make([]uint32, len(rows)), map[uint32]bool{}
	x.UpsertBatch(hashes, keys, rows, slots, func(slot uint32) { fresh[slot] = true })
	for k, row := range rows {
		m.upserted(t, at, keys.At(int(row)), slots[k], fresh[slots[k]])
		delete(fresh, slots[k])
	}
}

func (m *plainIndex) same(t *testing.T, at string, x *Index, hash func([]byte) uint64) {
	t.Helper()
	if got, want := x.Len(), len(m.slots); got != want {
		t.Fatalf("%s: there are %d keys, want %d", at, got, want)
	}
	inUse := 0
	for slot := range uint32(x.Slots()) {
		if !x.InUse(slot) {
			continue
		}
		inUse++
		if want := m.keys[slot]; string(x.Key(slot)) != want || x.Hash(slot) != hash([]byte(want)) {
			t.Fatalf("%s: slot %d has %q with hash %x, want %q", at, slot, x.Key(slot), x.Hash(slot), want)
		}
	}
	if inUse != len(m.keys) {
		t.Fatalf("%s: %d slots are in use, want %d", at, inUse, len(m.keys))
	}
}

// An index of many pages, of pages that cannot divide any more, and of none that are left after all keys are gone, finds every key.
func TestLargeIndex(t *testing.T) {
	for name, n := range map[string]int{"even": 300_000, "one page, however divided": 40_000} {
		hash := hashings[name]
		x := &Index{}
		var key []byte
		for round := range 2 {
			for k := range int64(n) {
				key = rowkey.AppendInt64(key[:0], k)
				if _, fresh := x.Upsert(hash(key), key); !fresh {
					t.Fatalf("%s, round %d: key %d is there already", name, round, k)
				}
			}
			for k := range int64(n) {
				key = rowkey.AppendInt64(key[:0], k)
				slot := x.Lookup(hash(key), key)
				if slot == NoSlot || !bytes.Equal(x.Key(slot), key) {
					t.Fatalf("%s, round %d: key %d is not found", name, round, k)
				}
				if k%3 > 0 || round == 0 {
					x.Delete(slot)
				}
			}
		}
		if got, want := x.Len(), (n+2)/3; got != want {
			t.Errorf("%s: %d keys are left, want %d", name, got, want)
		}
	}
}
