// Package file reads and writes files: Parquet, Arrow IPC, CSV and JSON lines.
//
// A Source is a path, a glob (** crosses folders), or a file:// URL; each file is a split. Its version is its size and a checksum of its first and
// last 64 KiB, so a file that was only touched is the same, and one that changed is refused. Positions are rows (Parquet, Arrow) or bytes
// (CSV, JSON lines); reading goes on after them exactly.
//
// A text column of JSON lines takes every value: numbers, lists and objects as their JSON. In CSV nothing between commas is a null and "" an empty
// text; an empty line is no record, but a null where there is one column. In both, bytes are base64, and times without a zone UTC.
//
// A Sink writes one file for each output of the job, whole or not at all, under the output's id. A file that is there already is the same output,
// published before: it is left alone.
package file
