// Package datagen is a source of made-up rows, for benchmarks, tests and first steps:
//
//	job.Source("clicks", datagen.Source{Rate: 1000, Keys: 500}, sabot.EventTime("at"))
//
// Rows depend on their number and on the fields of the Source alone, so whoever reads them again, in whatever number of processes, gets the same.
// A position is a number of rows; reading goes on after it exactly. Columns:
//
//	row      int64           its number, from 0, over all splits: row n is in split n % Splits
//	at       timestamp[us]   event time
//	key      int64           0 to Keys-1; with Skew small ones are more frequent
//	value    int64           0 to 999
//	payload  utf8            Bytes characters that do not compress well; only when Bytes is set
//	created  timestamp[us]   when the row was due; only with a Rate
//
// With a Rate a row comes when it is due, or as soon after that as the job asks: created tells how long it has been on its way, the time it had
// to wait included. Where more than one row of a split is due in a millisecond, they come together when the first is a millisecond old. The first row
// of a split is due at Begin, or when a run first opens the split; a run that goes on keeps that, so what was due while it was down comes at once.
package datagen
