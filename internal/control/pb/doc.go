// Package controlpb holds the messages of the control API, generated from control.proto.
package controlpb
