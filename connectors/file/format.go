package file

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sabot-stream/sabot"
)

// Format is a file format.
type Format string

// The formats. The empty Format goes by the file's extension.
const (
	Parquet Format = "parquet" // .parquet, .pq
	Arrow   Format = "arrow"   // .arrow, .feather, .ipc: the Arrow IPC file format; .arrows: the stream format
	CSV     Format = "csv"     // .csv
	JSONL   Format = "jsonl"   // .jsonl, .ndjson, .json: an object on each line
)

var byExtension = map[string]Format{".parquet": Parquet, ".pq": Parquet, ".arrow": Arrow, ".arrows": Arrow, ".feather": Arrow, ".ipc": Arrow,
	".csv": CSV, ".jsonl": JSONL, ".ndjson": JSONL, ".json": JSONL}

// formatOf returns the format of a file, given what the user said.
func formatOf(path string, said Format) (Format, error) {
	switch said {
	case Parquet, Arrow, CSV, JSONL:
		return said, nil
	case "":
	default:
		return "", sabot.WithKind(sabot.Invalid, fmt.Errorf("unknown file format %q; known are %s, %s, %s and %s", said, Parquet, Arrow, CSV, JSONL))
	}
	if remote(path) {
		path, _, _ = strings.Cut(path, "?")
	}
	if f, ok := byExtension[strings.ToLower(filepath.Ext(path))]; ok {
		return f, nil
	}
	return "", sabot.WithKind(sabot.Invalid, fmt.Errorf("%s: the extension %q tells no format; name the file .parquet, .arrow, .csv or .jsonl, or set Format",
		path, filepath.Ext(path)))
}
