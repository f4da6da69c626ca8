// Package bucketurl opens buckets by URL. It stands apart from objstore so that the interface imports no driver.
package bucketurl

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/file"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// Open opens the bucket of a URL: a path or file:///path is a folder (created if need be; ?force=true allows network file systems), mem: is a
// new bucket in memory. Any other scheme is an Invalid error.
func Open(_ context.Context, raw string) (objstore.Bucket, error) {
	if raw == "" {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open bucket: the URL is empty"))
	}
	path, query, _ := strings.Cut(raw, "?")
	scheme, rest, hasScheme := strings.Cut(path, ":")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open bucket %q: %w", raw, err))
	}
	switch {
	case !hasScheme || strings.ContainsAny(scheme, "/."):
		return file.Open(path, file.Options{Force: values.Get("force") == "true"})
	case scheme == "file":
		return file.Open(strings.TrimPrefix(rest, "//"), file.Options{Force: values.Get("force") == "true"})
	case scheme == "mem":
		return mem.New(), nil
	}
	return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open bucket %q: this version knows folders (a path or file:///path) and mem:, not %s", raw, scheme))
}
