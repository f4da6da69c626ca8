// Package coord is a job's coordinator: it asks the worker for cuts, folds their reports into the root, commits it, schedules compactions and
// deletes what a commit has made garbage.
//
// Machine (fsm.go, commit.go) decides and does nothing: messages, commit results and the time go in, and messages to send, a root to commit,
// objects to delete and the job's end come out. Driver (driver.go) is the I/O around it: one goroutine drives the machine; receiving,
// committing and deleting have one each, which Run joins before it returns. Policy (policy.go) chooses what to compact: bucket by bucket
// (clusters.go), by sizes (tiers.go) and by what is dead (usage.go). Pipe (pipe.go) is the transport within one process.
//
// What holds:
//
//   - One commit is in flight, and at most one cut of the group; while a commit is in flight no cut is asked for and no report is folded.
//   - Nothing new since the last cut: no cut, no commit, no request.
//   - A number once given to a cut or to a compaction is given to no other cut of this term.
//   - A worker that restarts without having been told to gets a new generation, committed before its assignment: nothing of its former life
//     can be folded.
//   - An object is deleted only after the commit that made it collectable; after a gap in this process's own running only after CURRENT has
//     shown that the term is still ours.
//   - After a commit of unknown outcome nothing else is committed: the coordinator ends.
//
// The package runs one group, of id 0, that owns all splits and partitions. It knows nothing of state, segments or rows.
package coord
