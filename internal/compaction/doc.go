// Package compaction does what a coordinator's compaction tasks ask for: it merges segments, writes what comes of it, and tells it as a report does.
//
//	tasks of one term and cut ── Run ──> outputs in the bucket, Done ── AddTo ──> report
//
// Tasks that are given out together share requests (ADR 19). What a task writes is cut at a size by ranges of hash, so that memory does not grow with the
// state; an output is written as soon as it is full. When a task fails its inputs stay as they are, and what it has written is removed: no report has named it.
//
// Which tasks there are is decided by internal/coord, and whether a result still counts by checkpoint.Fold.
package compaction
