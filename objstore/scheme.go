package objstore

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sabot-stream/sabot"
)

// Scheme opens the buckets whose URLs begin with its name. A driver offers one, and a program chooses which it is built with.
type Scheme struct {
	Name   string   // what stands before the colon: "s3"
	Form   string   // of the URLs, for people: "s3://bucket/prefix"
	Params []string // the parameters that a URL may have; any other is an Invalid error
	Open   func(context.Context, Location) (Bucket, error)
}

// Location is where a bucket is, as its URL tells.
type Location struct {
	Name   string     // of the bucket
	Prefix string     // of all keys, without slashes around it; may be empty
	Params url.Values // behind the question mark
}

// OpenURL opens the bucket of a URL that begins with the scheme's name.
func (s Scheme) OpenURL(ctx context.Context, raw string) (Bucket, error) {
	path, query, _ := strings.Cut(raw, "?")
	bad := func(err error) (Bucket, error) {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open bucket %q: %w", path, err)) // parameters may be nobody's business
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return bad(err)
	}
	for k := range values {
		if !slices.Contains(s.Params, k) {
			return bad(fmt.Errorf("unknown parameter %q; %s takes %s", k, s.Form, orNone(s.Params)))
		}
	}
	rest, ok := strings.CutPrefix(path, s.Name+"://")
	name, prefix, _ := strings.Cut(rest, "/")
	if !ok || name == "" {
		return bad(fmt.Errorf("the URL names no bucket; write %s", s.Form))
	}
	return s.Open(ctx, Location{Name: name, Prefix: strings.Trim(prefix, "/"), Params: values})
}

func orNone(params []string) string {
	if len(params) == 0 {
		return "none"
	}
	return strings.Join(params, ", ")
}
