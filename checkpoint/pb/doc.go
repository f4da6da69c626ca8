// Package pb holds the stored and exchanged messages, generated from checkpoint.proto.
package pb
