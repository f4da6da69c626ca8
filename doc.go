// Package sabot describes jobs: stateful stream processing with nothing but a bucket.
//
// A job is built from streams with named columns, and run by package run:
//
//	job := sabot.NewJob("flights")
//	job.Source("flights", file.Source{URL: in}, sabot.EventTime("date", sabot.MaxDelay(time.Minute))).
//		KeyBy("origin").
//		Window(sabot.Tumbling(time.Hour)).
//		Aggregate("hourly", sabot.Count().As("flights"), sabot.Avg("delay").As("avg_delay")).
//		Sink("parquet", file.Sink{URL: out})
//
// Building does no I/O. The graph is data, a Plan; what is wrong with it is reported all at once. What data: the connector's fields. What results
// mean: the options of nodes. How it runs: the flags of package run, which never change results.
//
// Types live in functions: Map, FlatMap, FilterFunc and Process take Go functions over structs, whose fields stand for columns (QuietFrom for
// quiet_from, or a tag sabot:"name"); a nullable column is a pointer.
//
// The package holds no engine, and imports none.
package sabot
