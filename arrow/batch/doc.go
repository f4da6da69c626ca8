// Package batch holds what runs between operators: columns in Arrow layout with, for each row, its event time, its key and where it came from.
//
// Hot paths are loops over slices; Apache's compute functions cost more per call than a batch's work. Columns are of canonical types only, see
// Normalize: bool, the integers, float32 and float64, utf8, binary, date32, timestamp[us] without zone, decimal128, null.
//
// # Ownership
//
// A Batch is counted: New returns one reference, whoever is given a batch owns one, and releases it or passes it on exactly once. Functions that
// take a batch and return another consume the one's reference and return the other's. Memory comes from the Go heap, so that a reference
// lost costs a buffer's recycling and nothing else.
package batch
