package sim

import (
	"encoding/binary"
	"fmt"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// The job: rows of some splits, keyed (stage 1), keyed again (stage 2), and put out. Rows are numbers.
const (
	splits    = 4
	splitRows = 12 // of each split; row i of a split has time i+1
	width     = 4  // of a time bucket
	forever   = int64(1) << 40
)

// row is a number of a row. Each stage keeps a table "all" with every row of its keys; the first also "last", the last one of a key unless that deletes, the
// second "open", the rows of windows that are open. What is put out are rows, and that windows have fired, see window.
type row uint16

func rowOf(split, i int) row { return row(split*splitRows + i) }
func (r row) split() int     { return int(r) / splitRows }
func (r row) index() int     { return int(r) % splitRows }
func (r row) late() bool     { return r.index()%5 == 4 }             // it comes after rows of later times
func (r row) bucket() int64  { return (r.time()/width + 1) * width } // where it ends
func (r row) deletes() bool  { return r.index()%4 > 1 }              // its key's value, instead of being it

func (r row) time() int64 {
	if r.late() {
		return int64(r.index()) - 2
	}
	return int64(r.index()) + 1
}

// hash is that of the row's key at a stage. Keys of the first stage are of one split each, so their rows have an order.
func (r row) hash(stage uint32) uint32 {
	k := uint32(r.split()*2 + r.index()%2)
	if stage == 2 {
		k = uint32(r) * 5 % 8
	}
	return (2*k + 1) << 28
}

// window is a key of the second stage and the end of a bucket: it fires once, when the watermark has come to that. As a row it says so.
type window struct {
	hash uint32
	end  int64
}

const fires row = 1 << 15

func (r row) window() window { return window{r.hash(2), r.bucket()} }
func (w window) fired() row  { return fires | row(w.hash>>28<<8) | row(w.end) }

// key is the row's key at the first stage.
func (r row) key() uint32 { return r.hash(1) }

// entries are rows as they lie in objects.
func encode(rows []row) (b []byte) {
	for _, r := range rows {
		b = binary.LittleEndian.AppendUint16(b, uint16(r))
	}
	return b
}

func decode(b []byte) (rows []row) {
	for i := 0; i+1 < len(b); i += 2 {
		rows = append(rows, row(binary.LittleEndian.Uint16(b[i:])))
	}
	return rows
}

func within(h uint32, lo, hi uint64) bool { return uint64(h) >= lo && uint64(h) < hi }

func stageParts(root *pb.Root, stage uint32) []*pb.Partition {
	for _, st := range root.Stages {
		if st.Id == stage {
			return st.Partitions
		}
	}
	return nil
}

func splitName(s int) string { return fmt.Sprint("s", s) }

// outputName is the name under which an output is published.
func (j *job) outputName(run string, o *pb.OutputKey) string {
	if j.rules[RunlessNames] {
		run = ""
	}
	return fmt.Sprintf("%s/%s/%d", run, o.Range, o.Number)
}

func (j *job) freshStart(parts int) checkpoint.Start {
	src := &pb.Source{Name: "src"}
	for s := range splits {
		src.Splits = append(src.Splits, &pb.Split{Id: splitName(s), Bounded: true})
	}
	return checkpoint.Start{Job: j.id, Run: j.name(), Now: j.now, Plan: fmt.Appendf(nil, `{"job":%q}`, j.id), Sources: []*pb.Source{src},
		Stages: []*pb.Stage{{Id: 1, Partitions: checkpoint.Partitions(parts)}, {Id: 2, Partitions: checkpoint.Partitions(parts)}}}
}
