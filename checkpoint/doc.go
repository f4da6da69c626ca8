// Package checkpoint holds what a job has committed, and the rules by which that changes.
//
// One object, CURRENT, is the only commit point: its body, the root, names the input positions, state, watermarks, and outputs of one epoch,
// and is replaced by a compare-and-swap. Everything else that a job keeps in the bucket is immutable and never named twice:
//
//	<job>/CURRENT                                  the root
//	<job>/packs/<term>-<n>-<random>                segments of state and sections of rows, written at cut n under a term
//	<job>/copies/<epoch>                           copies of roots
//	<job>/dead/<run>/<cut>-<index>.jsonl           dead letters, written out after their commit
//	<job>/LEASE                                    liveness, where the bucket has no locks
//
// Layout of CURRENT, little-endian. It is the same in every format, so that an old reader can tell a newer root from a broken one:
//
//	0   8  magic "SabotRt\n"
//	8   4  format
//	12  8  length of the body
//	20  4  CRC32C of bytes 0-19 and the body
//	24     body: pb.Root, marshalled deterministically
//
// Invariants of committed roots, held by Fold and the functions that prepare a root:
//
//   - The term, the epoch, the floor, and each group's generation never fall; the epoch restarts not even at a fresh start.
//   - A report is folded as a whole or not at all, onto exactly the cut that it was built on.
//   - Every object that a root names was written under a cut that was not below the floor when it was folded. So an unreferenced pack of an
//     older term, or of a cut below the floor, can never be named again, and may be deleted at any time, by anybody.
//   - Clips of references lie within their partition; nothing widens them but a compaction, whose outputs show
//     the range of its inputs' clips, each the next part of it.
//
// The decisions are pure functions (Fold, Floor, Garbage, Collectable, Validate, FreshRoot, TakeOver); Store, Sweep, Fsck, Inspect and
// ListJobs do the I/O. The package knows no segment format, talks to no worker, and decides nothing about when to cut or to compact: that is
// internal/coord. Pins, savepoints and clones are not part of this format yet: a root retains nothing but what it names itself.
package checkpoint
