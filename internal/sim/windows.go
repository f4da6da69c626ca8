package sim

import (
	"slices"
)

// openWindows finds the windows of a partition that have rows and are yet to fire.
func (g *group) openWindows(p *part) {
	if g.j.rules[MixLanes] { // one watermark for all
		p.lane = least(g.own(g.root, 2))
	}
	for _, own := range g.own(g.root, 2) {
		if own.Lo != p.lo {
			continue
		}
		for _, ref := range own.Refs {
			if ref.Table != "open" {
				continue
			}
			for _, r := range g.fetch(ref.Object, ref.Offset, ref.Length) {
				if within(r.hash(2), ref.Lo, ref.Hi) {
					p.windows[r.window()] = true
				}
			}
		}
	}
}

// adopt passes on the watermarks of what feeds the stages, once its rows are read.
func (g *group) adopt() {
	raise := func(stage uint32, to int64) {
		for _, p := range g.parts[stage] {
			p.lane = max(p.lane, to)
			if to > p.mark {
				p.mark = to
				g.news = true
			}
			p.fire()
		}
	}
	if !g.shared {
		low := forever
		for _, at := range g.pos {
			if at < splitRows {
				low = min(low, int64(at))
			}
		}
		raise(1, low)
		raise(2, low)
		return
	}
	low := forever
	for _, sp := range g.root.Sources[0].Splits {
		if !sp.Ended {
			low = min(low, sp.WatermarkUs)
		}
	}
	if g.read[1].Next(g.root) == nil || g.j.rules[EagerWatermark] {
		raise(1, low)
	}
	if g.read[2].Next(g.root) == nil || g.j.rules[EagerWatermark] {
		raise(2, least(stageParts(g.root, 1)))
	}
}

// fire puts out that windows have come to their end.
func (p *part) fire() {
	var due []row
	for w := range p.windows {
		if w.end <= p.lane {
			due = append(due, w.fired())
			delete(p.windows, w)
		}
	}
	slices.Sort(due)
	p.out = append(p.out, due...)
}
