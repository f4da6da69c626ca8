// Package connectors is a namespace for sources and sinks; each is a package of its own.
package connectors
