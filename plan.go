package sabot

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
)

// Plan is a job as data: what the engine runs, EXPLAIN prints and the fingerprint of job changes is made of. Go values (connectors and
// functions) are not in it; Job.Impl finds them by node name.
type Plan struct {
	Job   string  `json:"job"`
	Nodes []*Node `json:"nodes"` // in topological order; Node.ID is the index
}

// NodeKind says what a node does, and which one of Node's specs is set.
type NodeKind string

// The kinds of node.
const (
	KindSource   NodeKind = "source"
	KindFilter   NodeKind = "filter"    // Filter: by expression
	KindProject  NodeKind = "project"   // Project: columns by expression
	KindFunc     NodeKind = "func"      // Func: a Go function from batch to batch (map, flat-map, filter by typed row or by batch)
	KindUnion    NodeKind = "union"     // rows of all inputs; schemas must agree
	KindKeyBy    NodeKind = "key-by"    // Key: change of key, and so of stage
	KindWindow   NodeKind = "window"    // Window: grouped aggregation in windows
	KindProcess  NodeKind = "process"   // Process: a process function
	KindSink     NodeKind = "sink"      // Sink: committed
	KindSinkNow  NodeKind = "immediate" // Sink: immediate
	KindLateRows NodeKind = "late"      // the late rows of its input, a window node
)

// Node is one operator of a plan.
type Node struct {
	ID     int      `json:"id"`
	Name   string   `json:"name"` // unique in the job; state hangs on it
	Kind   NodeKind `json:"kind"`
	Inputs []int    `json:"inputs,omitempty"`

	Source  *SourceSpec  `json:"source,omitempty"`
	Filter  *Expr        `json:"filter,omitempty"`
	Project []Expr       `json:"project,omitempty"` // each with Name
	Func    *FuncSpec    `json:"func,omitempty"`
	Key     []string     `json:"key,omitempty"` // column names
	Window  *WindowSpec  `json:"window,omitempty"`
	Process *ProcessSpec `json:"process,omitempty"`
	Sink    *SinkSpec    `json:"sink,omitempty"`

	At string `json:"-"` // file:line of the user's call, for messages
}

// SourceSpec is what a plan says of a source.
type SourceSpec struct {
	Identity  string        `json:"identity,omitempty"`
	TimeCol   string        `json:"time,omitempty"` // event-time column; empty: the stream has no event time
	MaxDelay  time.Duration `json:"max_delay,omitempty"`
	MaxFuture time.Duration `json:"max_future,omitempty"`
	Idle      time.Duration `json:"idle,omitempty"` // idle timeout; 0: never idle
}

// FuncSpec is what a plan says of a Go function.
type FuncSpec struct {
	In, Out string   `json:",omitempty"`        // Go types, for messages
	Columns []string `json:"columns,omitempty"` // input columns it reads; nil: all
}

// WindowKind is the shape of windows.
type WindowKind string

// The kinds of window.
const (
	TumblingWindow WindowKind = "tumbling"
	HoppingWindow  WindowKind = "hopping"
)

// WindowSpec is what a plan says of a windowed aggregation.
type WindowSpec struct {
	Kind     WindowKind    `json:"kind"`
	Size     time.Duration `json:"size"`
	Slide    time.Duration `json:"slide"` // == Size when tumbling
	Lateness time.Duration `json:"lateness,omitempty"`
	Aggs     []Agg         `json:"aggs"`
}

// AggFunc is an aggregate function.
type AggFunc string

// The aggregate functions. All but count skip nulls; over no value they are null.
const (
	CountAgg AggFunc = "count" // rows, or non-null values of a column
	SumAgg   AggFunc = "sum"   // integers: int64, overflow is an error; floats: float64
	MinAgg   AggFunc = "min"
	MaxAgg   AggFunc = "max"
	AvgAgg   AggFunc = "avg"   // float64
	FirstAgg AggFunc = "first" // by event time, ties by value
	LastAgg  AggFunc = "last"
)

// Agg is one aggregate of a window.
type Agg struct {
	Func   AggFunc `json:"func"`
	Column string  `json:"column,omitempty"` // empty: count of rows
	Name   string  `json:"name"`             // output column
}

// ProcessSpec is what a plan says of a process function; State is filled by running its set-up once.
type ProcessSpec struct {
	In, Out string      `json:",omitempty"`
	State   []StateDecl `json:"state,omitempty"`
}

// StateDecl is one handle that a process function declares.
type StateDecl struct {
	Name    string         `json:"name"`
	Kind    StateKind      `json:"kind"`
	Key     arrow.DataType `json:"-"` // of a map's keys
	Value   arrow.DataType `json:"-"` // of values; nil for timers
	KeyType string         `json:"key_type,omitempty"`
	Type    string         `json:"type,omitempty"`
	// Shapes of Go types that the types above do not tell: of narrow numbers, structs and slices. State of another shape is other state.
	KeyShape string        `json:"key_shape,omitempty"`
	Shape    string        `json:"shape,omitempty"`
	TTL      time.Duration `json:"ttl,omitempty"`
	OnRead   bool          `json:"ttl_on_read,omitempty"`
	Clock    TimeDomain    `json:"ttl_clock,omitempty"`
	Default  string        `json:"default,omitempty"` // as text
	Absent   any           `json:"-"`                 // the default, of the handle's Go type; nil: none
	Domain   TimeDomain    `json:"domain,omitempty"`  // of timers
}

// StateKind is a kind of handle.
type StateKind string

// The kinds of handle.
const (
	ValueState       StateKind = "value"
	MapState         StateKind = "map"
	ListState        StateKind = "list"
	ReducingState    StateKind = "reducing"
	AggregatingState StateKind = "aggregating"
	CounterState     StateKind = "counter"
	TimerState       StateKind = "timer"
)

// TimeDomain is the clock of a timer, or of a TTL.
type TimeDomain uint8

// The clocks.
const (
	ByEventTime TimeDomain = iota
	ByProcessingTime
)

// SinkSpec is what a plan says of a sink.
type SinkSpec struct {
	Identity string `json:"identity,omitempty"`
}

// ExprOp is an operation of an expression.
type ExprOp string

// The operations. Nulls follow SQL: an operation over null is null, and/or are three-valued, is-null never is null.
const (
	OpCol, OpLit                                            ExprOp = "col", "lit"
	OpAdd, OpSub, OpMul, OpDiv, OpMod, OpNeg                ExprOp = "add", "sub", "mul", "div", "mod", "neg"
	OpEq, OpNe, OpLt, OpLe, OpGt, OpGe                      ExprOp = "eq", "ne", "lt", "le", "gt", "ge"
	OpAnd, OpOr, OpNot, OpIsNull                            ExprOp = "and", "or", "not", "is-null"
	OpCoalesce, OpCast                                      ExprOp = "coalesce", "cast"
	OpTruncate/* time down to a multiple of Width */ ExprOp = "truncate"
	OpExtract/* Part of a time, int64 */ ExprOp             = "extract"
)

// Expr is an expression over the columns of a row, as data.
type Expr struct {
	Op     ExprOp        `json:"op"`
	Args   []Expr        `json:"args,omitempty"`
	Column string        `json:"column,omitempty"` // OpCol
	Lit    Literal       `json:"lit,omitzero"`     // OpLit
	Type   string        `json:"type,omitempty"`   // OpCast: an Arrow type name as arrow.DataType.String prints it
	Width  time.Duration `json:"width,omitempty"`  // OpTruncate
	Part   string        `json:"part,omitempty"`   // OpExtract: year, month, day, hour, minute, second, dow (0 = Sunday), doy, epoch (whole seconds)
	Name   string        `json:"name,omitempty"`   // output name in a projection
}

// Literal is a constant: at most one field is set by Kind; Kind "" or "null" is null.
type Literal struct {
	Kind  string  `json:"kind,omitempty"` // null, bool, int64, float64, string, time (Int: Micros)
	Bool  bool    `json:"bool,omitempty"`
	Int   int64   `json:"int,omitempty"`
	Float float64 `json:"float,omitempty"`
	Str   string  `json:"str,omitempty"`
}

// literalJSON is Literal without its methods.
type literalJSON Literal

// MarshalJSON writes what JSON has no number for (NaN, the infinities, and -0, which would be left out) as text.
func (l Literal) MarshalJSON() ([]byte, error) {
	if f := l.Float; math.IsNaN(f) || math.IsInf(f, 0) || f == 0 && math.Signbit(f) {
		l.Float, l.Str = 0, strconv.FormatFloat(f, 'g', -1, 64)
	}
	return json.Marshal(literalJSON(l))
}

// UnmarshalJSON reads what MarshalJSON has written.
func (l *Literal) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, (*literalJSON)(l)); err != nil || l.Kind != "float64" || l.Str == "" {
		return err
	}
	f, err := strconv.ParseFloat(l.Str, 64)
	if err != nil {
		return fmt.Errorf("decode a constant: %w", err)
	}
	l.Float, l.Str = f, ""
	return nil
}
