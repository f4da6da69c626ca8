package bucketurl_test

import (
	"context"
	"strings"
	"testing"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// noting is a scheme that keeps what it is asked to open.
func noting(name string, at *objstore.Location) objstore.Scheme {
	return objstore.Scheme{Name: name, Form: name + "://bucket", Params: []string{"endpoint"}, Open: func(_ context.Context, l objstore.Location) (objstore.Bucket, error) {
		*at = l
		return mem.New(), nil
	}}
}

func TestSchemesAreGivenOrCarried(t *testing.T) {
	var given, carried objstore.Location
	ctx := bucketurl.With(bucketurl.With(t.Context(), noting("carried", &carried)), noting("other", new(objstore.Location)))
	for _, url := range []string{"given://one/a/b/?endpoint=http%3A%2F%2Fx", "carried://two"} {
		b, err := bucketurl.Open(ctx, url, noting("given", &given))
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
	}
	if given.Name != "one" || given.Prefix != "a/b" || given.Params.Get("endpoint") != "http://x" {
		t.Errorf("given: %+v", given)
	}
	if carried.Name != "two" || carried.Prefix != "" {
		t.Errorf("carried: %+v", carried)
	}
}

func TestBadURLsSayWhatToDo(t *testing.T) {
	for url, says := range map[string]string{
		"":                              "empty",
		"gs://bucket/p":                 "import github.com/sabot-stream/sabot/objstore/gcs and give run.Buckets[PARAMS](gcs.Scheme()) to run.Main",
		"azblob://container":            "import github.com/sabot-stream/sabot/objstore/azure and give run.Buckets[PARAMS](azure.Scheme()) to run.Main",
		"ftp://host/x":                  "knows folders (a path or file:///path), mem:, s3://bucket/prefix, one://bucket, not ftp:",
		"one://bucket?colour=red":       `unknown parameter "colour"; one://bucket takes endpoint`,
		"one://":                        "names no bucket; write one://bucket",
		"one:bucket":                    "names no bucket; write one://bucket",
		"one://bucket?endpoint=%zz":     "invalid URL escape",
		"s3://bucket?colour=red":        `unknown parameter "colour"; s3://bucket/prefix takes endpoint, region, path_style`,
		"s3://bucket?endpoint=nonsense": "http://host:port",
	} {
		_, err := bucketurl.Open(t.Context(), url, noting("one", new(objstore.Location)))
		if sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v of kind %s, want an Invalid error with %q", url, err, sabot.KindOf(err), says)
		}
	}
}

func TestLookingCreatesNothing(t *testing.T) {
	missing := t.TempDir() + "/missing"
	if _, err := bucketurl.OpenExisting(t.Context(), missing); sabot.KindOf(err) != sabot.Invalid {
		t.Errorf("a missing folder: %v, want an Invalid error", err)
	}
	b, err := bucketurl.Open(t.Context(), "file://"+missing)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	if b, err = bucketurl.OpenExisting(t.Context(), missing); err != nil {
		t.Fatal(err)
	}
	b.Close()
}
