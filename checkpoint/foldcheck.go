package checkpoint

import (
	"errors"
	"fmt"
)

// checkContent looks for anything in the report that would break the root: after it, apply cannot fail.
func (f *folder) checkContent() error {
	for _, check := range []func() error{f.checkNewObjects, f.checkSplits, f.checkPartitions, f.checkExchanges, f.checkOutputs, f.checkDead, f.checkCounts} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (f *folder) checkNewObjects() error {
	sizes := map[string]int64{}
	for _, o := range f.root.Objects {
		sizes[o.Key] = o.Size
	}
	for _, o := range f.r.Objects {
		if o.Key == "" || o.Size < 0 {
			return fmt.Errorf("object %q of %d bytes", o.Key, o.Size)
		}
		if size, ok := sizes[o.Key]; ok && size != o.Size {
			return fmt.Errorf("object %s has %d bytes here and %d elsewhere", o.Key, o.Size, size)
		}
		sizes[o.Key] = o.Size
	}
	return nil
}

func (f *folder) checkSplits() error {
	for _, s := range f.r.Splits {
		old := f.splits[splitID{s.Source, s.Id}]
		switch {
		case old.HasWatermark && (!s.HasWatermark || s.WatermarkUs < old.WatermarkUs):
			return fmt.Errorf("the watermark of split %q of source %q falls", s.Id, s.Source)
		case s.Rows < old.Rows || s.Dead < old.Dead:
			return fmt.Errorf("the row count of split %q of source %q falls from %d to %d", s.Id, s.Source, old.Rows, s.Rows)
		case old.Ended && !s.Ended:
			return fmt.Errorf("split %q of source %q had ended", s.Id, s.Source)
		}
	}
	return nil
}

func (f *folder) checkPartitions() error {
	for _, p := range f.r.Partitions {
		old := f.parts[partitionID{p.Stage, p.Lo, p.Hi}]
		if old.HasWatermark && (!p.HasWatermark || p.WatermarkUs < old.WatermarkUs) {
			return fmt.Errorf("the watermark of partition [%d,%d) of stage %d falls", p.Lo, p.Hi, p.Stage)
		}
		if err := f.checkInputs(old, p.Inputs); err != nil {
			return fmt.Errorf("partition [%d,%d) of stage %d: %w", p.Lo, p.Hi, p.Stage, err)
		}
		for i, ref := range p.Refs {
			if err := checkReference(f.r.Objects, p.Lo, p.Hi, ref); err != nil {
				return fmt.Errorf("partition [%d,%d) of stage %d: new reference %d: %w", p.Lo, p.Hi, p.Stage, i, err)
			}
		}
	}
	return nil
}

func (f *folder) checkOutputs() error {
	closed := map[outputID]bool{} // every output of the root
	for _, o := range f.root.Outputs {
		closed[outputID{o.Sink, o.Range, o.Number}] = o.Closed
	}
	for _, k := range f.r.Published {
		if isClosed, ok := closed[outputID{k.Sink, k.Range, k.Number}]; ok && !isClosed {
			return fmt.Errorf("output %s/%s/%d was published while open", k.Sink, k.Range, k.Number)
		}
	}
	said := map[outputID]bool{}
	for _, o := range f.r.Outputs {
		if o.Key == nil {
			return errors.New("an output has no key")
		}
		id := outputID{o.Key.Sink, o.Key.Range, o.Key.Number}
		switch isClosed, ok := closed[id]; {
		case said[id]:
			return fmt.Errorf("output %v comes twice", id)
		case isClosed:
			return fmt.Errorf("output %v is closed", id)
		case !ok && len(o.Schema) == 0:
			return fmt.Errorf("output %v opens without a schema", id)
		}
		said[id] = true
		for i, s := range o.Sections {
			if err := checkSection(f.r.Objects, s); err != nil {
				return fmt.Errorf("output %v: section %d: %w", id, i, err)
			}
		}
	}
	return nil
}

func (f *folder) checkDead() error {
	seen := map[deadID]bool{}
	for _, d := range f.root.DeadSections {
		seen[deadID{d.Cut, d.Index}] = true
	}
	for _, d := range f.r.DeadSections {
		id := deadID{d.Cut, d.Index}
		if d.Cut != f.r.Cut || seen[id] {
			return fmt.Errorf("dead letters %v are not of this cut, or come twice", id)
		}
		seen[id] = true
		if err := checkSection(f.r.Objects, d.Section); err != nil {
			return fmt.Errorf("dead letters %v: %w", id, err)
		}
	}
	return nil
}

func (f *folder) checkCounts() error {
	if f.r.Late < 0 || f.r.Dead < 0 || f.r.TimersDropped < 0 {
		return errors.New("a count is negative")
	}
	for _, o := range f.r.Operators {
		if o.RowsIn < 0 || o.RowsOut < 0 || o.Late < 0 || o.Dead < 0 {
			return fmt.Errorf("a count of operator %q is negative", o.Name)
		}
	}
	return nil
}
