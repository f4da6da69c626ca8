// Package benchcluster measures a job that runs in several processes over a real bucket: how many rows per second it takes, how long a row is on
// its way, what the bucket is asked for and what that costs, and how long the job pauses when processes die, come, go, or the number of partitions
// changes.
//
// Its processes are those of the program that calls it: Job is the job that they run, and Run starts and kills them.
//
//	Run ── starts ──> coordinators, workers (sabot bench job ...)
//	 │                      │ /metrics: requests     │ samples: what the sink has been given, and when
//	 └── watches CURRENT <──┴────────────────────────┘
//
// How far a job is, is read off its committed root alone, a few times in each checkpoint's interval. A share of the job is a split, or a place in
// the hash space of a keyed stage; a pause is the longest time in which some share makes no committed progress. So a pause holds one interval
// between checkpoints at the least, and is shown beside the same figure of a calm time.
//
// All processes share this machine, and whatever else runs on it: figures of one run compare with each other, not with those of another machine.
package benchcluster
