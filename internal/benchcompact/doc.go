// Package benchcompact runs a job's cuts and compactions in virtual time, and measures what compaction is for: how much more a bucket holds than what is live,
// how many segments a lookup consults, and how many bytes are written for each that a cut writes.
//
//	workload ── rows of a second ──> lanes (objstate.Store) ── cut ──> pack, report ──> coord.Machine ── root ──> commit, garbage
//	                                                                                         └── tasks ──> compaction.Runner, at so many bytes a second
//
// The decisions and the bytes are the product's own: stores freeze and encode, the machine asks for cuts, folds reports, plans compactions and says what is
// garbage, and the runner merges real segments. Only time, the bucket, which is memory, and the speed at which tasks are done are not: a task's result is there
// when as many bytes as it has read and written have gone by at that speed. So results are the same for the same options on any machine.
//
// At the end what the segments show is compared with what the workload knows to be live.
package benchcompact
