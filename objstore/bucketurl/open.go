// Package bucketurl opens buckets by URL. It stands apart from objstore so that the interface imports no driver.
package bucketurl

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/file"
	"github.com/sabot-stream/sabot/objstore/mem"
	"github.com/sabot-stream/sabot/objstore/s3"
)

// Open opens the bucket of a URL; any scheme that is not here is an Invalid error.
//
//	path, file:///path   a folder, created if need be; ?force=true allows network file systems
//	s3://bucket/prefix   S3 and what speaks it; ?endpoint=URL, &region=NAME, &path_style=true for stores other than AWS
//	mem:                 a new bucket in memory
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
	case scheme == "s3":
		name, prefix, _ := strings.Cut(strings.TrimPrefix(rest, "//"), "/")
		for k := range values {
			if k != "endpoint" && k != "region" && k != "path_style" {
				return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open bucket %q: unknown parameter %q; endpoint, region and path_style are known", path, k))
			}
		}
		b, err := s3.Open(s3.Options{Bucket: name, Prefix: prefix, Endpoint: values.Get("endpoint"), Region: cmp.Or(values.Get("region"), os.Getenv("AWS_REGION")),
			PathStyle: values.Get("path_style") == "true"})
		if err != nil {
			return nil, err
		}
		return b, nil
	}
	return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open bucket %q: this version knows folders (a path or file:///path), s3: and mem:, not %s", raw, scheme))
}

func folder(path string, force, create bool) (objstore.Bucket, error) {
	if _, err := os.Stat(path); err != nil && !create {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open bucket %s: %w", path, err))
	}
	return file.Open(path, file.Options{Force: force, ReadOnly: !create})
}
