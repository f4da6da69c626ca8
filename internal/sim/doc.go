// Package sim runs a job's protocol in virtual time: coordinators, workers, the garbage collector, publishers and a person with savepoints, one atomic step
// of one of them at a time, over a bucket that loses and delays effects and answers. The decisions are the product's own: coord.Machine, checkpoint's Fold,
// Store, Ledger, Reading, Garbage, Collectable, Sweep, TakeOver, Restored, Cloned, Repartition. What a worker computes is lists of row numbers, and that
// windows have fired, so that after every commit the whole state can be compared with the rows that the committed positions say were read.
//
//	world      one history: its choices, its time, the bucket, the requests that are still on their way
//	job        a job and all who have to do with it; a clone is a second one, with a model of its own, in the same world
//	coordinator, worker, group, person   processes, each in small steps (turn)
//	faulty     the bucket as they see it; fate.go says what becomes of a request
//	auditor    the invariants, checked at each commit (audit) and at the end (final)
//
// A random history (TestSeeds) is a list of choices; it first chooses how rough it is. A failing seed is replayed with -sim.seed, and shrunk: choices are
// taken out, or made the dull one, as long as the same thing goes wrong. A scenario (TestScenarios) is a script that brings a job into one case of the
// design by name, and fails when it does not get there.
//
// Rules are switched off by name (rules.go); TestMutations shows for each, or for some of which one stands in for the other, that some history then fails.
// For these none was found, because others cover them:
//
//   - The run in a report, and in a claim: a fresh start takes the next term, and no generation of it has a predecessor, so all is refused by these.
//     The run in the names of outputs has its seed.
//   - A cut above the epoch of the root that raised its generation, and the generation that a request for a cut carries: messages of one connection come
//     in order, so a group that has started again hears of no request of its former life.
//   - The random identity of a cut, in a base: terms, and numbers that go on above all that a claim tells, give no number to two cuts of a group that could
//     both be a base. It says of which cut an answer is, and makes a fresh start's base unlike any cut.
//   - The clips of a compaction's inputs, when it is folded: only a change of partitions narrows clips, and then every group starts again and forgets its
//     compactions.
//   - The generation without the term, or the term without the generation: each covers the other, since a takeover raises both. Without both of them
//     histories fail.
//
// Not simulated, and held by other tests:
//
//	bit flips, short reads             objstore/fault TestReadsAreWrong, objstate TestDamagedSegments, checkpoint TestFsck, test TestDamagedState
//	a missing object                   internal/engine TestMissingObjects
//	CURRENT truncated or damaged       checkpoint TestDecodeRootRefusesDamage, test TestBadRoot
//	CURRENT missing                    checkpoint TestCommitOfVanishedRoot
//	CURRENT of a newer format          checkpoint TestDecodeRootOfNewerFormat, cmd/sabot TestNewerFormat
//	two processes on one file bucket   objstore/file TestProcessesRace and TestLead, test TestTwoProcesses (one of them is stopped)
//	a stopped candidate for a lease    objstore/lease TestCandidateThatWasStopped
//	a throttled split and idleness     test TestThrottledSplitIsNotIdle
//	input that has changed             test TestChangedJobIsRefused, TestNewFilesAreNamed
//
// There are no sessions, no cache on disk and no source with a retention yet. Clocks of workers decide nothing; those of coordinators jump ahead, and do not
// go back, because durations are taken from the monotonic clock.
package sim
