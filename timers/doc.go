// Package timers keeps the timers of keyed operators, and combines watermarks.
//
// A Set holds timers of one clock. A timer is a key (by its slot in memory), an id (which of the operator's timers) and a time; setting it twice
// is setting it once. Timers lie in buckets of 17 seconds, each sorted when its turn comes, so that registering costs an append and firing a
// share of a sort; a table finds a timer again to cancel it. What is cancelled leaves its bucket when its turn comes, or when the bucket holds
// little else.
//
// A timer of event time fires when the watermark is greater than its time; one for sabot.EndOfTime when the input has ended, last of all. What
// the committed watermark has passed has fired: it needs no delete in the stored state. Timers of processing time are deleted when they fire.
package timers
