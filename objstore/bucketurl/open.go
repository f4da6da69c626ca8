// Package bucketurl opens buckets by URL. It stands apart from objstore so that the interface imports no driver.
//
// Folders, buckets in memory and S3 are in every program. Drivers whose libraries are heavy are not: a program imports those that it wants, and
// gives their schemes to Open, or to all that is opened below a context.
package bucketurl

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/file"
	"github.com/sabot-stream/sabot/objstore/mem"
	"github.com/sabot-stream/sabot/objstore/s3"
)

// Open opens the bucket of a URL, of a scheme that is here, among those given, or carried by ctx; any other is an Invalid error.
//
//	path, file:///path   a folder, created if need be; ?force=true allows network file systems
//	s3://bucket/prefix   S3 and what speaks it; ?endpoint=URL, &region=NAME, &path_style=true for stores other than AWS
//	mem:                 a new bucket in memory
func Open(ctx context.Context, raw string, schemes ...objstore.Scheme) (objstore.Bucket, error) {
	return open(ctx, raw, true, schemes)
}

// OpenExisting is Open for those who only look: a folder that is not there is an Invalid error, and is not created.
func OpenExisting(ctx context.Context, raw string, schemes ...objstore.Scheme) (objstore.Bucket, error) {
	return open(ctx, raw, false, schemes)
}

type carried struct{}

// With returns a context that carries schemes for Open, besides those that ctx carries. It is for connectors: sources and sinks are values that a
// job names, which nothing but a context reaches in every call.
func With(ctx context.Context, schemes ...objstore.Scheme) context.Context {
	if len(schemes) == 0 {
		return ctx
	}
	return context.WithValue(ctx, carried{}, slices.Concat(schemes, carriedBy(ctx)))
}

func carriedBy(ctx context.Context) []objstore.Scheme {
	s, _ := ctx.Value(carried{}).([]objstore.Scheme)
	return s
}

func open(ctx context.Context, raw string, create bool, schemes []objstore.Scheme) (objstore.Bucket, error) {
	if raw == "" {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open bucket: the URL is empty"))
	}
	path, query, _ := strings.Cut(raw, "?")
	scheme, rest, hasScheme := strings.Cut(path, ":")
	switch {
	case !hasScheme || strings.ContainsAny(scheme, "/."):
		return folder(path, query, create)
	case scheme == "file":
		return folder(strings.TrimPrefix(rest, "//"), query, create)
	case scheme == "mem":
		return mem.New(), nil
	}
	all := slices.Concat([]objstore.Scheme{s3.Scheme()}, schemes, carriedBy(ctx))
	for _, s := range all {
		if s.Name == scheme {
			return s.OpenURL(ctx, raw)
		}
	}
	return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open bucket %q: %s", path, unknown(scheme, all)))
}

func folder(path, query string, create bool) (objstore.Bucket, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open bucket %s: %w", path, err))
	}
	if _, err := os.Stat(path); err != nil && !create {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open bucket %s: %w", path, err))
	}
	return file.Open(path, file.Options{Force: values.Get("force") == "true", ReadOnly: !create})
}

// unknown tells what can be done about a scheme that is not among those of the program.
func unknown(scheme string, all []objstore.Scheme) string {
	switch scheme {
	case "gs":
		return notBuiltIn("gcs")
	case "azblob":
		return notBuiltIn("azure")
	}
	forms := []string{"folders (a path or file:///path)", "mem:"}
	for _, s := range all {
		forms = append(forms, s.Form)
	}
	return "this program knows " + strings.Join(forms, ", ") + ", not " + scheme + ":"
}

func notBuiltIn(pkg string) string {
	return fmt.Sprintf("this program is built without that store: import github.com/sabot-stream/sabot/objstore/%s and give run.Buckets[PARAMS](%s.Scheme()) to run.Main",
		pkg, pkg)
}
