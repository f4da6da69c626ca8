// Package control is the way between a job's coordinator, its workers and the tools that ask for its state: gRPC, one stream for each worker.
//
// A coordinator that listens elsewhere than on the loopback needs a token or certificates of its clients (mutual TLS); without either it refuses to
// start. The token goes with every request, and never into a log, a root or a status.
package control
