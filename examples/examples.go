// Package examples holds those example jobs that are data.
package examples

import _ "embed" // for the files

// Flights is the job file of examples/flights: the same job as its Go program.
//
//go:embed flights/flights.yaml
var Flights []byte
