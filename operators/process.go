package operators

import (
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// ProcessConfig describes a process function in one lane.
type ProcessConfig struct {
	Name      string
	In, Out   *arrow.Schema
	KeyFields []arrow.Field
	Now       func() time.Time // processing time
}

// process runs a process function. Its keys have one table; Value handles are columns there, Map entries and timers refer to a key by its slot.
// A key whose last value, entry and timer is gone gives its slot back.
type process struct {
	cfg      ProcessConfig
	store    *objstate.Store
	handler  sabot.RowHandler
	keys     *objstate.Table
	holds    []uint32 // by slot: values, map entries and timers; 0 where there is no key
	schema   segment.Schema
	bind     []func() // of the cells of values, to their columns
	maps     []*entries
	parts    []objstate.Handle // of values and maps, which are in memory for a key together or not at all
	isReady  bool
	slots    []uint32 // of the rows of a batch
	batch    bool     // a batch is at hand: rows to come have slots already
	vacated  []uint32 // of keys that hold nothing, and are in memory all the same; a slot may come more than once
	settled  uint64   // cut up to which they have been looked at
	emptied  []uint32 // of keys that hold nothing any more: they may go once no call needs them
	ordinals []int32  // 0, 1, 2 and so on
	wants    []objstate.Want
	event    *timerState
	proc     *timerState
	fire     []func(time.Time) error // by timer id
	ttls     []sweeper
	low      sabot.Micros
	swept    sabot.Micros // watermark by which what has expired is gone, whether or not it is still in memory
	past     bool         // a call has set a timer of event time that is due already
	groups   groups

	// State whose TTL is by processing time, and the time as it was when the lane last came here.
	walled   bool
	wallTTLs []sweeper
	expires  []objstate.TTL // of the values
	wall     sabot.Micros

	// The call at hand.
	slot    uint32
	row     int // -1: a timer
	now     sabot.Micros
	age     sabot.Micros // event time by which what a TTL lets live is judged
	fields  []any        // of the current key, decoded on demand
	decoded bool
	logs    []undoer // that have something to undo
	decoder *rowkey.Decoder

	// Output rows and where they come from.
	emitted int
	times   []int64
	hashes  []uint64
	outKeys rowkey.Column
}

// undoer keeps what a call changed, until it is known how the call ends.
type undoer interface {
	undo()   // takes the call's changes back
	forget() // keeps them
}

// sweeper is state with a TTL.
type sweeper interface {
	sweep(slots int) // drops expired values among the next slots
}

// sweepSlots is how many slots of each table with a TTL are looked at with each watermark.
const sweepSlots = 256

// NewProcess returns the operator of a process function, with its set-up done.
func NewProcess(cfg ProcessConfig, fn sabot.ProcessFunc, store *objstate.Store) (Operator, error) {
	p := &process{cfg: cfg, store: store, low: store.Watermark(), swept: store.Watermark(), slot: objstate.NoSlot, outKeys: rowkey.Column{Offsets: []int32{0}}}
	var err error
	if p.decoder, err = rowkey.NewDecoder(cfg.KeyFields); err != nil {
		return nil, err
	}
	p.keys = objstate.NewTable(nil)
	p.fields = make([]any, len(cfg.KeyFields))
	names := make([]string, len(cfg.KeyFields))
	for i, f := range cfg.KeyFields {
		names[i] = f.Name
	}
	if p.handler, err = fn.Open(cfg.In, names, host{p}); err != nil {
		return nil, err
	}
	for _, bind := range p.bind {
		bind()
	}
	if len(p.schema) > 0 {
		p.parts = append(p.parts, store.Add(objstate.Spec{Name: cfg.Name, Schema: nullable(p.schema), Single: true, TTLs: p.expires}, (*keyState)(p)))
	}
	return p, nil
}

// Batch implements Operator.
func (p *process) Batch(b *batch.Batch, out Collector) error {
	defer b.Release()
	p.ready()
	if err := p.handler.Reset(b.Cols); err != nil {
		return err
	}
	rows := p.byRow
	if p.handler.ByKey() {
		rows = p.byKey
	}
	p.batch = true
	err := rows(b, out)
	p.batch, p.slot = false, objstate.NoSlot
	if err != nil {
		return err
	}
	p.sweepWall()
	p.clean()
	return p.flush(out)
}

// byRow calls the handler for each row.
func (p *process) byRow(b *batch.Batch, out Collector) error {
	for k, slot := range p.slotsOf(b) {
		i := k
		if b.Sel != nil {
			i = int(b.Sel[k])
		}
		p.begin(slot)
		p.row = i
		p.now = sabot.NoTime
		if b.Times != nil {
			p.now = sabot.Micros(b.Times[i])
		}
		p.age = max(p.now, p.swept)
		if err := p.handler.Row(i); err != nil {
			p.rollback()
			if err := out.Dead(b, i, err.Error()); err != nil {
				return err
			}
		}
		if err := p.end(out); err != nil {
			return err
		}
		if err := p.overdue(out); err != nil {
			return err
		}
	}
	return nil
}

func (p *process) begin(slot uint32) {
	if slot != p.slot {
		p.slot, p.decoded = slot, false
	}
}

// end ends a call: its changes stay, what it emitted gets its time and key, and a key that holds nothing goes, if at the end of the batch.
func (p *process) end(out Collector) error {
	for _, l := range p.logs {
		l.forget()
	}
	p.logs = p.logs[:0]
	for n := p.handler.Emitted(); p.emitted < n; p.emitted++ {
		p.times = append(p.times, int64(p.now))
		p.hashes = append(p.hashes, p.keys.Hash(p.slot))
		p.outKeys.Bytes = append(p.outKeys.Bytes, p.keys.Key(p.slot)...)
		p.outKeys.Offsets = append(p.outKeys.Offsets, int32(len(p.outKeys.Bytes)))
	}
	if p.holds[p.slot] == 0 {
		if p.batch {
			p.emptied = append(p.emptied, p.slot)
		} else {
			p.vacate(p.slot)
		}
	}
	if p.emitted >= emitRows {
		return p.flush(out)
	}
	return nil
}

func (p *process) rollback() {
	for _, l := range p.logs {
		l.undo()
	}
	p.handler.Truncate(p.emitted)
}

// clean gives up the keys that hold nothing after all, between two batches.
func (p *process) clean() {
	for _, slot := range p.emptied {
		if p.keys.InUse(slot) && p.holds[slot] == 0 {
			p.vacate(slot)
		}
	}
	p.emptied = p.emptied[:0]
}

func (p *process) flush(out Collector) error {
	n := p.emitted
	if n == 0 {
		return nil
	}
	b := batch.New(p.cfg.Out, p.handler.Flush(), n, nil)
	b.Times, b.Hashes, b.Keys = p.times, p.hashes, p.outKeys
	p.emitted, p.times, p.hashes, p.outKeys = 0, nil, nil, rowkey.Column{Offsets: []int32{0}}
	return out.Emit(b)
}

// Watermark implements Operator: timers of event time fire.
func (p *process) Watermark(w sabot.Micros, out Collector) error {
	p.ready()
	p.low = w
	if err := p.due(w, out); err != nil {
		return err
	}
	if w == sabot.MaxMicros && p.proc != nil {
		out.Dropped(p.dropAll())
	}
	if w != sabot.MaxMicros {
		p.swept = w
	}
	for _, t := range p.ttls {
		t.sweep(sweepSlots)
	}
	p.sweepWall()
	p.clean()
	return p.flush(out)
}

func (p *process) sweepWall() {
	for _, t := range p.wallTTLs {
		t.sweep(sweepSlots)
	}
}

func (p *process) due(w sabot.Micros, out Collector) error {
	if p.event == nil || w == sabot.NoTime {
		return nil
	}
	return p.fireAll(p.event, w, out)
}

// overdue fires what a call has set in the past. It does so before the next call: how rows come in batches makes no difference.
func (p *process) overdue(out Collector) error {
	if !p.past {
		return nil
	}
	p.past = false
	return p.due(p.low, out)
}

// fireAll calls the timers that are due, also those that they set themselves.
func (p *process) fireAll(s *timerState, w sabot.Micros, out Collector) error {
	s.reach(w)
	for {
		t, stored, ok := s.set.Pop(w)
		if !ok {
			return nil
		}
		p.fillOne(t.Slot)
		p.begin(t.Slot)
		if stored && s == p.proc {
			s.gone = append(s.gone, s.frozen(t))
		}
		p.holds[t.Slot]--
		p.row, p.now, p.age = -1, t.At, max(t.At, p.swept)
		if s == p.proc {
			p.age = p.low // the clock of a wall says nothing of how old the data is
		}
		if err := p.fire[t.ID](t.At.Time()); err != nil {
			p.rollback()
			if err := out.DeadKey(p.keys.Key(t.Slot), t.At, err.Error()); err != nil {
				return err
			}
		}
		if err := p.end(out); err != nil {
			return err
		}
		if s == p.proc {
			if err := p.overdue(out); err != nil {
				return err
			}
		}
	}
}

// dropAll drops the timers of processing time and returns how many there were.
func (p *process) dropAll() (n int) {
	p.proc.reach(sabot.MaxMicros)
	for {
		t, stored, ok := p.proc.set.Pop(sabot.MaxMicros)
		if !ok {
			return n
		}
		n++
		if stored {
			p.proc.gone = append(p.proc.gone, p.proc.frozen(t))
		}
		p.release(t.Slot)
	}
}

// release drops one hold of a slot outside of a call.
func (p *process) release(slot uint32) {
	if p.holds[slot]--; p.holds[slot] == 0 {
		p.vacate(slot)
	}
}

// vacate gives up a slot that holds nothing.
func (p *process) vacate(slot uint32) {
	if p.keys.IsHollow(slot) {
		p.keys.DropHollow(slot) // nothing in memory refers to it
	} else {
		if p.keys.Delete(slot); p.keys.InUse(slot) { // until it is known that no segment shows it
			p.vacated = append(p.vacated, slot)
		}
	}
	if p.slot == slot {
		p.slot = objstate.NoSlot
	}
}

// NextTick implements Ticker.
func (p *process) NextTick() (sabot.Micros, bool) {
	if p.proc == nil || !p.proc.loaded {
		return 0, p.proc != nil // what was stored is not known yet: look at once
	}
	at, ok := p.proc.next()
	if at >= sabot.MaxMicros-1 {
		return 0, false // it is dropped at the end of input
	}
	return at + 1, ok
}

// Tick implements Ticker: timers of processing time fire.
func (p *process) Tick(now sabot.Micros, out Collector) error {
	p.ready()
	if p.proc == nil {
		return nil
	}
	p.proc.loaded = true
	if err := p.fireAll(p.proc, now, out); err != nil {
		return err
	}
	p.clean()
	return p.flush(out)
}

// At implements Locator.
func (p *process) At() (int, []byte) {
	if p.slot == objstate.NoSlot {
		return 0, nil
	}
	return p.row, p.keys.Key(p.slot)
}
