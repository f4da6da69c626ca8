// Package kernel evaluates expressions over columns, a loop over slices at a time.
//
// An expression is compiled against a schema into a Program, which one goroutine uses. Values run through it in four shapes: int64 (all
// integers, timestamps in microseconds, dates in days), float64, bool and text. Nulls follow SQL: an operation over null is null, and/or are
// three-valued, is-null never is null. A row whose value cannot be computed (overflow, division by zero, text that is no number) is null in
// the result and named in the error, a *RowErrors, so that the caller can give it up alone.
//
// Integers are computed in int64, uint64 by its bits where it fits; mixed with floats in float64.
package kernel
