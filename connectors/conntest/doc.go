// Package conntest is the conformance suite of connectors: what the engine relies on beyond what types say.
//
// Source reads a source whole, then again from every position that it gave, by a fresh value each time, as the engine does after a crash: the
// rest has to come, row for row. It does so at several chunk sizes and for several choices of columns. Sink publishes outputs again, at the
// same time and under ids that differ in one part, and has Sweep find its own among foreign objects.
//
// The suite knows nothing of files or brokers: a source is compared with the rows that the test gives, a sink with what its destination shows.
// It does not check the memory of a connector that takes no allocator, and no behaviour under load.
package conntest
