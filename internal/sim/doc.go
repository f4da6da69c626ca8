// Package sim runs a job's protocol in virtual time: coordinators, workers, the garbage collector, publishers and a person with savepoints, one atomic step
// of one of them at a time, over a bucket that loses and delays effects and answers. The decisions are the product's own: coord.Machine, checkpoint's Fold,
// Store, Ledger, Reading, Garbage, Collectable, Sweep, TakeOver, Restored, Repartition. What a worker computes is lists of row numbers, so that after every
// commit the whole state can be compared with the rows that the committed positions say were read.
//
// A history is a list of choices. A failing seed is replayed with -sim.seed, and shrunk: choices are taken out, or made the dull one, as long as the same
// thing goes wrong.
//
// Rules are switched off by name; a test shows for each that some history then fails. Some never failed one in thousands, and need no switch: sending the
// same bytes again after an ambiguous request (whichever body wins, the other's version is dead), and the nonce as part of a version (epoch, term and
// positions never come twice).
//
// Not simulated, and tested elsewhere: damaged and short reads (objstore/fault, checkpoint's fsck tests, test's TestDamagedState), CURRENT truncated or of a
// newer format (checkpoint, cmd/sabot), a throttled file against the idle timeout (internal/engine's virtual-time jobs), two processes on one file bucket
// (objstore/file, test's TestTwoProcesses), clocks of workers (they decide nothing).
package sim
