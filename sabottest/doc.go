// Package sabottest runs jobs in tests: on a bucket in memory, fed row by row, and again with a crash at each storage call.
//
// A test builds its job with Source and Sink of this package as connectors, in a function, since every start of the job builds it anew:
//
//	job := func() *sabot.Job { return fraudJob(sabottest.Source[Tx](), sabottest.Sink[Alert]()) }
//	sabottest.CrashEverywhere(t, job, func(h *sabottest.Harness) {
//		sabottest.Feed(h, "tx", Tx{"a", "s1", 50, noon})
//		sabottest.Want(h, "alerts", Alert{"a", 900_00})
//	})
//
// The input ends after the last Feed: timers for the end of time fire, and every window closes. Want compares what the sink has published,
// whatever the order of rows, with what is given.
//
// CrashEverywhere runs the test undisturbed and counts the calls of the bucket. Then it runs it again for each of them: once with the process
// dying before the call takes effect, once after; a new process goes on from the bucket. A checkpoint follows each row, so that the crashes
// fall into all stages of a job's life.
package sabottest
