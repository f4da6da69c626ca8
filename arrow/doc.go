// Package arrow is a namespace for what Sabot does on Apache Arrow's columns: batch, rowkey and kernel. It holds no code, so that nothing here
// collides with the name of Apache's package.
package arrow
