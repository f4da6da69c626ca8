// Package engine runs one group's share of a job in one worker: it reads splits, runs the operators of every stage in lanes, cuts the stream
// by barriers, writes what a cut holds as packs, and publishes what is committed.
//
//	Worker       speaks with the coordinator; starts a group from a root, and restarts it when told or when it fails
//	group        the lanes of all stages, as of one generation
//	sourceLane   a goroutine of stage 0: reads the split with the lowest watermark, runs the stage's operators, scatters by key
//	keyedLane    a goroutine of a keyed stage: takes batches, watermarks and aligned barriers from its inbox
//	cutRun       collects the lanes' parts of one cut, uploads them as a pack, and reports
//	publisher    publishes closed outputs and writes dead letters out, once committed
//
// # Invariants
//
//   - What a lane has done up to its barrier of cut n is exactly what the other lanes had sent before theirs; the report of n is made of all
//     lanes' parts or does not exist.
//   - One cut is in flight at a time. A lane goes on at once after its barrier; encoding and upload happen beside it.
//   - A group that fails in any way is thrown away whole and started again from the committed root: half of an in-memory edge never survives.
//   - A published output, a written dead letter, is one that a committed root lists.
//
// The package decides nothing about commits: that is internal/coord.
package engine
