// Package jobfile makes jobs from files, for dataflows that need no Go code: sources and sinks of files, filters, columns, windows with aggregates.
//
//	job: flights
//	params:                                   # ${name} below; given by --param name=value
//	  input: testdata/flights.parquet
//	sources:
//	  flights:
//	    file: {url: "${input}"}               # format, columns, csv: of formats that do not say
//	    event_time: {column: date, max_delay: 1m}
//	operators:                                # each takes the rows of one above it
//	  late-ones: {from: flights, filter: "delay > 15 and origin is not null"}
//	  minutes: {from: late-ones, select: {origin: origin, date: date, hours: "delay / 60.0"}}
//	  hourly:
//	    from: minutes
//	    key_by: [origin]
//	    window: {tumbling: 1h}                # or hopping: 1h, every: 10m; lateness: 5m
//	    aggregate: {flights: count(), worst: max(hours)}
//	sinks:
//	  parquet: {from: hourly, file: {url: out/flights, format: parquet}}
//	  screen: {from: hourly, stdout: {}}
//
// Names of operators are those that state hangs on. What needs a Go function, such as a process function, needs a binary of its own: see package run.
package jobfile
