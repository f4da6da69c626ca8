// Package bucketurl opens buckets by URL. It stands apart from objstore so that the interface imports no driver.
package bucketurl

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/file"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// Open opens the bucket of a URL: a path or file:///path is a folder (created if need be; ?force=true allows network file systems), mem: is a
// new bucket in memory. Any other scheme is an Invalid error.
func Open(ctx context.Context, raw string) (objstore.Bucket, error) { return open(ctx, raw, true) }

// OpenExisting is Open for those who only look: a folder that is not there is an Invalid error, and is not created.
func OpenExisting(ctx context.Context, raw string) (objstore.Bucket, error) {
	return open(ctx, raw, false)
}

func open(_ context.Context, raw string, create bool) (objstore.Bucket, error) {
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
		return folder(path, values.Get("force") == "true", create)
	case scheme == "file":
		return folder(strings.TrimPrefix(rest, "//"), values.Get("force") == "true", create)
	case scheme == "mem":
		return mem.New(), nil
	}
	return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open bucket %q: this version knows folders (a path or file:///path) and mem:, not %s", raw, scheme))
}

func folder(path string, force, create bool) (objstore.Bucket, error) {
	if _, err := os.Stat(path); err != nil && !create {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open bucket %s: %w", path, err))
	}
	return file.Open(path, file.Options{Force: force})
}
