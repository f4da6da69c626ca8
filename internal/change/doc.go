// Package change decides what becomes of a job that is started with another graph than the one that its last checkpoint is of: what of its state is kept,
// what is dropped, what begins empty, what has to be drained by the graph of before, and what cannot be done. It is pure: a root and a graph in, a
// decision and an edit of the root out.
//
// State hangs on names. A table of keyed state is kept if an operator of the new graph has a table of that name, of the same kind, under the same key
// (columns and types), whose rows mean the same; where it lies in the graph, and what is done to rows before they come to it, is the user's to change.
// Positions hang on the source's name and identity. What cannot be kept is lost, which the user has to allow.
package change
