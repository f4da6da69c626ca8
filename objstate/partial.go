package objstate

// BePartial makes an empty table partial at once: what it holds is in segments.
func (t *Table) BePartial() { t.partial = true }

// Partial tells whether the table is partial.
func (t *Table) Partial() bool { return t.partial }

// see notes that a slot of a partial table is used.
func (t *Table) see(slot uint32, fresh bool) {
	f := t.flags[slot] | flagUsed
	if fresh {
		f |= flagHollow
	}
	if f&(flagHollow|flagWanted) == flagHollow {
		f |= flagWanted
		t.missing = append(t.missing, slot)
	}
	t.flags[slot] = f
}

// Reserve is Upsert by who needs the key and not what it holds: a fresh slot is hollow, and not listed as missing.
func (t *Table) Reserve(hash uint64, key []byte) (slot uint32, fresh bool) {
	slot, fresh = t.Index.Upsert(hash, key)
	if fresh {
		if t.prepare(slot); t.partial {
			t.flags[slot] = flagHollow
		}
	}
	return slot, fresh
}

// Want lists a slot as missing if it is hollow.
func (t *Table) Want(slot uint32) {
	if t.partial {
		t.see(slot, false)
	}
}

// Missing returns the slots that are listed as missing; their keys are to be looked up, and Filled called.
func (t *Table) Missing() []uint32 { return t.missing }

// Wants returns what to look up for the missing slots, in the memory of wants.
func (t *Table) Wants(wants []Want, suffix []byte) []Want {
	wants = wants[:0]
	for _, slot := range t.missing {
		wants = append(wants, Want{t.Hash(slot), t.Key(slot), suffix})
	}
	return wants
}

// Filled says that what segments have of the missing slots is in memory.
func (t *Table) Filled() {
	for _, slot := range t.missing {
		t.flags[slot] &^= flagHollow | flagWanted
	}
	t.missing = t.missing[:0]
}

// Mark says that something that hangs on the slot has changed: it stays in memory until that is committed.
func (t *Table) Mark(slot uint32) {
	if !t.partial {
		return
	}
	if f := t.flags[slot]; f&flagMarked == 0 {
		t.flags[slot] = f | flagMarked
		t.marks = append(t.marks, slot)
	}
}

// file notes that what has changed is in a cut.
func (t *Table) file(cut uint64) {
	for _, slot := range t.marks {
		t.flags[slot] = t.flags[slot]&^flagMarked | flagFiled
	}
	t.filed = append(t.filed, t.marks...)
	t.filedCut, t.dirty, t.marks = cut, t.dirty[:0], t.marks[:0]
}

// Settle takes note of how far cuts are committed.
func (t *Table) Settle(committed uint64) {
	if t.filedCut <= committed {
		for _, slot := range t.filed {
			t.flags[slot] &^= flagFiled
		}
		t.filed = t.filed[:0]
	}
}

// Busy returns how many slots cannot be dropped from memory, or a little more.
func (t *Table) Busy() int { return len(t.dirty) + len(t.marks) + len(t.filed) }

// Evict drops up to n slots that are clean and have not been used lately, and returns how many. Drop is to take a slot out of memory, by Drop or
// Hollow.
func (t *Table) Evict(n int, drop func(slot uint32)) (evicted int) {
	if !t.partial {
		return 0
	}
	var found [stage]uint32
	slots, k := uint32(t.Slots()), 0
	flush := func() {
		t.warm(found[:k])
		for _, slot := range found[:k] {
			drop(slot)
		}
		evicted, k = evicted+k, 0
	}
	for left := 2 * slots; left > 0 && evicted+k < n; left-- {
		if t.hand++; t.hand >= slots {
			flush() // before any of them is met again
			t.hand = 0
		}
		slot := t.hand
		switch f := t.flags[slot]; {
		case !t.InUse(slot) || f&(flagBusy|flagHollow) != 0:
		case f&flagUsed != 0:
			t.flags[slot] = f &^ flagUsed
		default:
			if found[k], k = slot, k+1; k == stage {
				flush()
			}
		}
	}
	flush()
	return evicted
}

// Drop takes a slot out of memory; segments still show it.
func (t *Table) Drop(slot uint32) { t.remove(slot) }

// Hollow takes a slot's values out of memory and leaves its key.
func (t *Table) Hollow(slot uint32) {
	for i := range t.Cols {
		t.Cols[i].Zero(slot)
	}
	t.flags[slot] = flagHollow
}

// DropHollow takes a hollow slot out of memory, unless it is listed as missing.
func (t *Table) DropHollow(slot uint32) {
	if t.flags[slot]&flagWanted == 0 {
		t.remove(slot)
	}
}

// Idle tells whether a slot has nothing that is not in segments.
func (t *Table) Idle(slot uint32) bool { return t.flags[slot]&(flagBusy|flagHollow) == 0 }

// IsHollow tells whether what segments have of a slot is not in memory.
func (t *Table) IsHollow(slot uint32) bool { return t.flags[slot]&flagHollow != 0 }
