// Package benchmicro measures the parts that a job's speed is made of, each beside what a Go programmer would write by hand for the same work: a loop
// over slices, a map, container/heap. Both sides run in the same call, in turn, and a figure is the median of each side's rounds: so what else the
// machine does meanwhile falls on both. Work that
// waits for nothing is measured in the time that it has a processor, its goroutine's own or that of the whole process, so that other programs move it by
// what they take of the caches only; resume and jobs, which may wait, in the time that passes.
//
//	Work ── Open ──> Race ── Sabot, Baseline, Sabot, Baseline, ... ──> medians ──> Figure
//
// A Figure's ratio tells how many times as good as the baseline Sabot is, whatever the unit: below 1 it is behind. Where no loop does the same, the
// baseline is the way that is to be beaten: lookups one by one, a state read whole, checkpoints off.
//
// The keys of batches are encoded and hashed beforehand, as they are after an exchange: what that costs is a figure of its own (rowkey). Both sides of a
// race keep their state between rounds where a job would.
//
// Lane, Work and Measure serve a module beside this one as well, which runs the same state work on another store.
package benchmicro
