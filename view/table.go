package view

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// Table describes a table of keyed state.
type Table struct {
	Name     string
	Operator string        // whose it is
	Kind     string        // window, values, entries or timers: see the package
	Key      []arrow.Field // of the stream
	More     []arrow.Field // what tells rows of one key apart, and may follow the key in Get: none, or one
	Values   []arrow.Field // the other columns
}

// Schema returns the columns of the table's rows: the key's, those of More, and the others.
func (t Table) Schema() *arrow.Schema {
	return arrow.NewSchema(slices.Concat(t.Key, t.More, t.Values), nil)
}

// table is a Table and what it takes to read it.
type table struct {
	Table
	stage   uint32
	stored  segment.Schema // columns that are read
	schema  *arrow.Schema
	decoder *rowkey.Decoder
	kind    kind
}

// kind turns stored rows into those that are shown.
type kind interface {
	// dead returns the time up to which buckets hold nothing that lives, NoTime: none is dead.
	dead(at instant) sabot.Micros
	// live tells whether a row, which has the suffix behind its key, is there.
	live(suffix []byte, rows *segment.Rows, i int, at instant) bool
	// show appends a row that lives to the columns from col on.
	show(b *batch.Builder, col int, suffix []byte, rows *segment.Rows, i int, at instant) error
	// suffix returns what stands behind the key of the rows with this value of Table.More, which is of the field's type and not null.
	suffix(more any) []byte
}

// instant says as of when it is judged what lives: the committed watermark of a partition, and processing time.
type instant struct{ low, now sabot.Micros }

// newTable returns a table of a checkpoint, and of the node of its plan.
func newTable(t *pb.Table, n *sabot.Node) (*table, error) {
	key, err := fieldsOf(t.Key)
	if err != nil {
		return nil, err
	}
	stored, err := fieldsOf(t.Columns)
	if err != nil {
		return nil, err
	}
	out := &table{Table: Table{Name: t.Name, Operator: t.Operator, Kind: t.Kind, Key: key}, stage: t.Stage, stored: stored}
	if out.decoder, err = rowkey.NewDecoder(key); err != nil {
		return nil, err
	}
	switch {
	case t.Kind == checkpoint.WindowTable && n.Window != nil:
		err = out.windows(t, n.Window)
	case n.Process == nil:
		err = fmt.Errorf("operator %q keeps no %s", n.Name, t.Kind)
	case t.Kind == checkpoint.ValuesTable:
		err = out.values(n.Process.State)
	case t.Kind == checkpoint.TimersTable:
		out.timers(n.Process.State, t.Name == t.Operator+".timers")
	case t.Kind == checkpoint.EntryTable:
		err = out.entries(n.Process.State, t.Name[len(t.Operator)+1:])
	default:
		err = sabot.WithKind(sabot.Invalid, fmt.Errorf("this version does not know tables of kind %q", t.Kind))
	}
	if err != nil {
		return nil, err
	}
	out.unique()
	out.schema = out.Schema()
	return out, nil
}

// unique gives a column that is called like one before it another name.
func (t *table) unique() {
	seen := map[string]bool{}
	for _, fields := range [][]arrow.Field{t.Key, t.More, t.Values} {
		for i := range fields {
			for seen[fields[i].Name] {
				fields[i].Name += "_"
			}
			seen[fields[i].Name] = true
		}
	}
}

// tablesOf returns the tables of a checkpoint, in its order.
func tablesOf(root *pb.Root) ([]*table, error) {
	var plan sabot.Plan
	if err := json.Unmarshal(root.Plan, &plan); err != nil {
		return nil, sabot.WithKind(sabot.Corrupt, fmt.Errorf("decode the plan of job %s: %w", root.Job, err))
	}
	if len(root.Tables) == 0 && slices.ContainsFunc(root.Stages, func(s *pb.Stage) bool {
		return slices.ContainsFunc(s.Partitions, func(p *pb.Partition) bool { return len(p.Refs) > 0 })
	}) {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("checkpoint %d of job %s does not describe its tables: an earlier version wrote it; start the job once with this one",
			root.Epoch, root.Job))
	}
	var out []*table
	for _, t := range root.Tables {
		i := slices.IndexFunc(plan.Nodes, func(n *sabot.Node) bool { return n.Name == t.Operator })
		if i < 0 {
			return nil, sabot.WithKind(sabot.Corrupt, fmt.Errorf("table %q of job %s is of operator %q, which its plan does not have", t.Name, root.Job, t.Operator))
		}
		x, err := newTable(t, plan.Nodes[i])
		if err != nil {
			return nil, fmt.Errorf("table %q of job %s: %w", t.Name, root.Job, err)
		}
		out = append(out, x)
	}
	return out, nil
}

// columnOf returns where a table keeps a column, -1: it does not.
func (t *table) columnOf(name string) int {
	return slices.IndexFunc(t.stored, func(f arrow.Field) bool { return f.Name == name })
}
