// Package exchange carries batches, watermarks and barriers between the lanes of one worker.
//
// A lane of a consuming stage has an Inbox with one bounded queue for each producing lane. What one producer sends arrives in order. A full
// queue makes its producer wait: that is the back-pressure, and nothing is dropped.
//
// Barriers are aligned: once a producer's barrier has been taken from its queue, nothing more is taken from that queue until the barriers of
// all other producers have arrived too. So what the consumer has seen at its barrier is exactly what the producers had sent before theirs,
// and a cut through all lanes is consistent.
//
// Watermarks are combined: the inbox tells the least watermark over its producers, when it rises.
//
// The package knows nothing of the bucket: an exchange between workers goes through sections of packs instead.
package exchange
