package benchcompact

import (
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// lane is one lane's state: a part whose rows are those put since the last barrier, each once.
type lane struct {
	ranges []rowkey.Range
	store  *objstate.Store
	rows   []row
	at     map[id]int // in rows
}

func newLane(spec objstate.Spec, ranges []rowkey.Range) (*lane, error) {
	l := &lane{ranges: ranges, at: map[id]int{}}
	none := objstate.Snapshot{Of: func(string) []objstate.Ref { return nil }}
	var err error
	l.store, err = objstate.NewStore(objstate.Options{Ranges: ranges, Watermark: sabot.NoTime, KeyFields: []arrow.Field{{Name: "key", Type: int64Type}},
		Refs: func() objstate.Snapshot { return none }})
	if err != nil {
		return nil, err
	}
	l.store.Add(spec, l).Touch()
	return l, nil
}

func (l *lane) put(x row) {
	if i, ok := l.at[id{x.key, x.at}]; ok {
		l.rows[i] = x
		return
	}
	l.at[id{x.key, x.at}] = len(l.rows)
	l.rows = append(l.rows, x)
}

// Freeze implements objstate.Part.
func (l *lane) Freeze(f *objstate.Frame) {
	var key, suffix []byte
	for i := range l.rows {
		x := &l.rows[i]
		key = rowkey.AppendInt64(key[:0], x.key)
		suffix = x.suffix(suffix[:0])
		f.Row(rowkey.HashOf(key), key, suffix, int64(x.at), segment.Put, x.values[:]...)
	}
	l.rows = l.rows[:0]
	clear(l.at)
}

// Load implements objstate.Part: nothing is read into a lane here.
func (l *lane) Load(uint64, []byte, []byte, *segment.Rows, int) {}

// suffix appends what stands behind the row's key.
func (x row) suffix(dst []byte) []byte {
	if x.at == 0 {
		return dst
	}
	return binary.BigEndian.AppendUint64(dst, uint64(x.at))
}

// rowsOf returns rows as segments have them.
func rowsOf(schema segment.Schema, all []row) *segment.Rows {
	r := segment.New(schema)
	for _, x := range all {
		key := rowkey.AppendInt64(nil, x.key)
		r.KeyBytes = binary.BigEndian.AppendUint32(r.KeyBytes, rowkey.Hash32(rowkey.HashOf(key)))
		r.KeyBytes = x.suffix(append(r.KeyBytes, key...))
		r.KeyOffsets = append(r.KeyOffsets, uint32(len(r.KeyBytes)))
		r.Ops = append(r.Ops, segment.Put)
		for i, v := range x.values {
			r.Cols[i].Ints = append(r.Cols[i].Ints, v)
		}
	}
	return r
}

// pack encodes what a lane froze into body, and returns the new references of its partitions.
func (l *lane) pack(f *objstate.Frozen, body []byte, cut uint64) ([]byte, map[rowkey.Range][]*pb.Reference, error) {
	refs := map[rowkey.Range][]*pb.Reference{}
	err := f.Encode(func(seg []byte, m objstate.Meta) error {
		for _, rng := range m.Ranges {
			refs[rng] = append(refs[rng], &pb.Reference{Table: m.Table, Offset: int64(len(body)), Length: int64(len(seg)), Crc: m.Info.CRC, BucketLo: int64(m.Bucket.Lo),
				BucketHi: int64(m.Bucket.Hi), Rows: int64(m.Info.Rows), Cut: cut, Lo: rng.Lo, Hi: rng.Hi})
		}
		body = append(body, seg...)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("encode cut %d: %w", cut, err)
	}
	return body, refs, nil
}
