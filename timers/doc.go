// Package timers keeps the timers of keyed operators, and combines watermarks.
//
// A Set holds timers of one clock. A timer is a key (by its slot in memory), an id (which of the operator's timers) and a time; setting it twice
// is setting it once. Timers lie in buckets of 4 seconds, within which a timer is one word:
//
//	time within the bucket 22 bits | id 8 | slot 32 | state 2
//
// A bucket is a hash set of these words, so that all that is known of a timer is one line of memory. When the bucket's turn comes, those that are set are
// sorted by digits, once; what is set later in the same bucket goes behind them, or to a heap. A timer that has fired or was cancelled stays as a word of that
// state, and is passed over, until the set is built anew, or the bucket is over, all at once.
//
// A timer of event time fires when the watermark is greater than its time; one for sabot.EndOfTime when the input has ended, last of all. What
// the committed watermark has passed has fired: it needs no delete in the stored state. Timers of processing time are deleted when they fire.
package timers
