package operators

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstate/segment"
	"github.com/sabot-stream/sabot/timers"
)

// ProcessConfig describes a process function in one lane.
type ProcessConfig struct {
	Name      string
	In, Out   *arrow.Schema
	KeyFields []arrow.Field
}

// process runs a process function. Its keys have one table; Value handles are columns there, Map entries and timers refer to a key by its slot.
// A key whose last value, entry and timer is gone gives its slot back.
type process struct {
	cfg     ProcessConfig
	store   *objstate.Store
	handler sabot.RowHandler
	keys    *objstate.Table
	holds   []uint32 // by slot: values, map entries and timers
	schema  segment.Schema
	state   []objstate.Handle
	event   *timerState
	proc    *timerState
	fire    []func(time.Time) error // by timer id
	ttls    []sweeper
	low     sabot.Micros
	past    bool // a call has set a timer of event time that is due already

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
	p := &process{cfg: cfg, store: store, low: store.Watermark(), slot: objstate.NoSlot, outKeys: rowkey.Column{Offsets: []int32{0}}}
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
	if len(p.schema) > 0 {
		p.state = append(p.state, store.Add(objstate.Spec{Name: cfg.Name, Schema: nullable(p.schema)}, (*keyState)(p)))
	}
	return p, nil
}

// nullable returns the columns as segments are read: one that was added to a job lacks in what was written before, and is null there.
func nullable(s segment.Schema) segment.Schema {
	s = slices.Clone(s)
	for i := range s {
		s[i].Nullable = true
	}
	return s
}

func (p *process) ready() {
	for _, h := range p.state {
		h.Ready()
	}
}

// Batch implements Operator.
func (p *process) Batch(b *batch.Batch, out Collector) error {
	defer b.Release()
	p.ready()
	if err := p.handler.Reset(b.Cols); err != nil {
		return err
	}
	err := each(b, func(i int32) error {
		p.begin(p.upsert(b.Hashes[i], b.Keys.At(int(i))))
		p.row = int(i)
		p.now = sabot.NoTime
		if b.Times != nil {
			p.now = sabot.Micros(b.Times[i])
		}
		p.age = p.now
		if err := p.handler.Row(int(i)); err != nil {
			p.rollback()
			if err := out.Dead(b, int(i), err.Error()); err != nil {
				return err
			}
		}
		if err := p.end(out); err != nil {
			return err
		}
		return p.overdue(out)
	})
	p.slot = objstate.NoSlot
	if err != nil {
		return err
	}
	return p.flush(out)
}

// upsert returns the slot of a key.
func (p *process) upsert(hash uint64, key []byte) uint32 {
	slot, fresh := p.keys.Upsert(hash, key)
	if fresh {
		for int(slot) >= len(p.holds) {
			p.holds = append(p.holds, 0)
		}
	}
	return slot
}

func (p *process) begin(slot uint32) {
	if slot != p.slot {
		p.slot, p.decoded = slot, false
	}
}

// end ends a call: its changes stay, what it emitted gets its time and key, and a key that holds nothing goes.
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
		p.keys.Delete(p.slot)
		p.slot = objstate.NoSlot
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
	for _, t := range p.ttls {
		t.sweep(sweepSlots)
	}
	return p.flush(out)
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
	for {
		t, stored, ok := s.set.Pop(w)
		if !ok {
			return nil
		}
		p.begin(t.Slot)
		if stored && s == p.proc {
			s.gone = append(s.gone, s.frozen(t))
		}
		p.holds[t.Slot]--
		p.row, p.now, p.age = -1, t.At, t.At
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
		p.keys.Delete(slot)
		if p.slot == slot {
			p.slot = objstate.NoSlot
		}
	}
}

// NextTick implements Ticker.
func (p *process) NextTick() (sabot.Micros, bool) {
	if p.proc == nil || !p.proc.loaded {
		return 0, p.proc != nil // what was stored is not known yet: look at once
	}
	at, ok := p.proc.set.Next()
	if at == sabot.MaxMicros {
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
	return p.flush(out)
}

// At implements Locator.
func (p *process) At() (int, []byte) {
	if p.slot == objstate.NoSlot {
		return 0, nil
	}
	return p.row, p.keys.Key(p.slot)
}

// keyState is the keys' values as a part of the lane's state.
type keyState process

// Freeze implements objstate.Part.
func (s *keyState) Freeze(f *objstate.Frame) { f.Table(s.keys, nil, 0) }

// Load implements objstate.Part.
func (s *keyState) Load(hash uint64, key, _ []byte, rows *segment.Rows, i int) {
	p := (*process)(s)
	if rows.Ops[i] == segment.Delete {
		if slot := p.keys.Lookup(hash, key); slot != objstate.NoSlot {
			p.holds[slot] -= p.values(slot)
			if p.holds[slot] == 0 {
				p.keys.LoadRow(hash, key, rows, i)
				return
			}
			for c := range p.keys.Cols {
				p.keys.Cols[c].Zero(slot)
			}
		}
		return
	}
	slot := p.upsert(hash, key)
	p.holds[slot] -= p.values(slot)
	p.keys.LoadRow(hash, key, rows, i)
	if p.holds[slot] += p.values(slot); p.holds[slot] == 0 { // its values were of handles that are gone
		p.keys.Forget(slot)
	}
}

// values returns how many Value handles have a value in a slot.
func (p *process) values(slot uint32) (n uint32) {
	for c := range p.keys.Cols {
		if v := p.keys.Cols[c].Valid; v != nil && v[slot] {
			n++
		}
	}
	return n
}

// timerState is one clock's timers as a part of the lane's state.
type timerState struct {
	p      *process
	set    *timers.Set
	loaded bool
	gone   []frozenTimer
	log    []timerChange
}

type timerChange struct {
	t     timers.Timer
	added bool
}

type frozenTimer struct {
	t    timers.Timer
	hash uint64
	key  []byte
}

func (s *timerState) frozen(t timers.Timer) frozenTimer {
	return frozenTimer{t, s.p.keys.Hash(t.Slot), append([]byte(nil), s.p.keys.Key(t.Slot)...)}
}

// timerTime is the time that chooses a timer's bucket: the end of time has one of its own.
func timerTime(at sabot.Micros) sabot.Micros { return min(at, sabot.MaxMicros-1) }

func timerSuffix(t timers.Timer) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(t.At)^1<<63), t.ID)
}

// Freeze implements objstate.Part.
func (s *timerState) Freeze(f *objstate.Frame) {
	for _, g := range s.gone {
		if slot := s.p.keys.Lookup(g.hash, g.key); slot != objstate.NoSlot && s.set.Has(timers.Timer{At: g.t.At, Slot: slot, ID: g.t.ID}) {
			continue // set again: its put follows
		}
		f.Row(g.hash, g.key, timerSuffix(g.t), int64(timerTime(g.t.At)), segment.Delete)
	}
	s.gone = s.gone[:0]
	s.set.Changes(func(t timers.Timer) {
		f.Row(s.p.keys.Hash(t.Slot), s.p.keys.Key(t.Slot), timerSuffix(t), int64(timerTime(t.At)), segment.Put)
	})
}

// Load implements objstate.Part.
func (s *timerState) Load(hash uint64, key, suffix []byte, rows *segment.Rows, i int) {
	t := timers.Timer{At: sabot.Micros(binary.BigEndian.Uint64(suffix) ^ 1<<63), ID: suffix[8]}
	if rows.Ops[i] == segment.Delete {
		if t.Slot = s.p.keys.Lookup(hash, key); t.Slot != objstate.NoSlot {
			if was, _ := s.set.Remove(t); was {
				s.p.release(t.Slot)
			}
		}
		return
	}
	t.Slot = s.p.upsert(hash, key)
	if !s.set.Has(t) {
		s.p.holds[t.Slot]++
	}
	s.set.Load(t)
}

// timerCell is one of a process function's timers.
type timerCell struct {
	s  *timerState
	id uint8
}

// Set implements sabot.TimerCell.
func (c *timerCell) Set(at sabot.Micros) {
	p := c.s.p
	c.s.add(timers.Timer{At: at, Slot: p.slot, ID: c.id}, true)
	if c.s == p.event && (at < p.low || p.low == sabot.MaxMicros) {
		p.past = true
	}
}

// Cancel implements sabot.TimerCell.
func (c *timerCell) Cancel(at sabot.Micros) {
	c.s.remove(timers.Timer{At: at, Slot: c.s.p.slot, ID: c.id}, true)
}

func (s *timerState) add(t timers.Timer, log bool) {
	if s.set.Add(t) {
		s.p.holds[t.Slot]++
		if log {
			s.note(timerChange{t, true})
		}
	}
}

func (s *timerState) remove(t timers.Timer, log bool) {
	was, stored := s.set.Remove(t)
	if !was {
		return
	}
	if stored {
		s.gone = append(s.gone, s.frozen(t))
	}
	s.p.holds[t.Slot]--
	if log {
		s.note(timerChange{t, false})
	}
}

func (s *timerState) note(c timerChange) {
	if len(s.log) == 0 {
		s.p.logs = append(s.p.logs, s)
	}
	s.log = append(s.log, c)
}

func (s *timerState) undo() {
	for i := len(s.log) - 1; i >= 0; i-- {
		if c := s.log[i]; c.added {
			s.remove(c.t, false)
		} else {
			s.add(c.t, false)
		}
	}
}

func (s *timerState) forget() { s.log = s.log[:0] }
