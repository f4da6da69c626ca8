package gcs_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fsouza/fake-gcs-server/fakestorage"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/file"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
	"github.com/sabot-stream/sabot/objstore/gcs"
	"github.com/sabot-stream/sabot/objstore/storetest"
	"github.com/sabot-stream/sabot/run"
)

// fake starts a GCS server in this process, with a bucket named sabot.
func fake(t *testing.T) (endpoint string) {
	t.Helper()
	s, err := fakestorage.NewServerWithOptions(fakestorage.Options{Scheme: "http", Host: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	s.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: "sabot"})
	return s.URL()
}

func open(t *testing.T, o gcs.Options) *gcs.Bucket {
	t.Helper()
	b, err := gcs.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConformance(t *testing.T) {
	endpoint := fake(t)
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) objstore.Bucket {
		return open(t, gcs.Options{Bucket: "sabot", Prefix: fmt.Sprintf("part/%d", n.Add(1)), Endpoint: endpoint})
	})
}

// A listing of several answers is one listing, and names outside of the prefix or fit for no key are left out.
func TestLongListings(t *testing.T) {
	endpoint := fake(t)
	b, whole := open(t, gcs.Options{Bucket: "sabot", Prefix: "p", Endpoint: endpoint}), open(t, gcs.Options{Bucket: "sabot", Endpoint: endpoint})
	const objects = 1100 // more than a page
	for i := range objects {
		if err := b.Put(t.Context(), fmt.Sprintf("k/%06d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := whole.Put(t.Context(), "px/other", nil); err != nil {
		t.Fatal(err)
	}
	n := 0
	for o, err := range b.List(t.Context(), "k/") {
		if err != nil || o.Key != fmt.Sprintf("k/%06d", n) {
			t.Fatalf("object %d is %q, %v", n, o.Key, err)
		}
		n++
	}
	if n != objects {
		t.Errorf("%d objects are listed, want %d", n, objects)
	}
}

func TestCreate(t *testing.T) {
	endpoint := fake(t)
	b := open(t, gcs.Options{Bucket: "fresh", Endpoint: endpoint})
	if err := b.Put(t.Context(), "k", nil); sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), "create the bucket first") {
		t.Errorf("before: %v of kind %s, want an Invalid error that says to create it", err, sabot.KindOf(err))
	}
	t.Setenv("GOOGLE_CLOUD_PROJECT", "")
	if err := b.Create(t.Context()); sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), "GOOGLE_CLOUD_PROJECT") {
		t.Errorf("without a project: %v, want an Invalid error that names it", err)
	}
	t.Setenv("GOOGLE_CLOUD_PROJECT", "project")
	for range 2 {
		if err := b.Create(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Put(t.Context(), "k", nil); err != nil {
		t.Error(err)
	}
}

func TestBadOptionsAndCredentials(t *testing.T) {
	for _, o := range []gcs.Options{{Bucket: "b", Endpoint: "localhost:9000"}, {Bucket: "b", Endpoint: "ftp://x"}, {Bucket: "b", Endpoint: "http://x/path"}, {Endpoint: "http://x"}} {
		if _, err := gcs.Open(t.Context(), o); sabot.KindOf(err) != sabot.Invalid {
			t.Errorf("%+v: %v, want an Invalid error", o, err)
		}
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", t.TempDir()+"/none.json")
	if _, err := gcs.Open(t.Context(), gcs.Options{Bucket: "b"}); sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), "gcloud auth") {
		t.Errorf("no credentials: %v, want an Invalid error that says where they come from", err)
	}
	if _, err := bucketurl.Open(t.Context(), "gs://b?region=x", gcs.Scheme()); sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), "endpoint") {
		t.Errorf("an unknown parameter: %v, want an Invalid error that names those known", err)
	}
}

// A job keeps its state, reads and publishes in GCS.
func TestJob(t *testing.T) {
	at := func(path string) string { return "gs://sabot/" + path }
	query := "?endpoint=" + url.QueryEscape(fake(t))
	in, err := bucketurl.Open(t.Context(), at("in")+query, gcs.Scheme())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := in.Put(t.Context(), "one.csv", []byte("n\n1\n2\n3\n")); err != nil {
		t.Fatal(err)
	}
	job := sabot.NewJob("copy")
	job.Source("in", file.Source{URL: at("in/*.csv") + query}).Sink("out", file.Sink{URL: at("out") + query, Format: file.CSV})
	res, err := run.Run(t.Context(), job, run.Options{Bucket: at("jobs") + query, Buckets: []objstore.Scheme{gcs.Scheme()}})
	if err != nil || !res.Finished || res.RowsRead != 3 {
		t.Fatalf("the job: %+v, %v", res, err)
	}
	out, err := bucketurl.Open(t.Context(), at("out")+query, gcs.Scheme())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	n := 0
	for o, err := range out.List(t.Context(), "copy-") {
		if err != nil {
			t.Fatal(err)
		}
		if body, _, err := out.Get(t.Context(), o.Key); err != nil || string(body) != "n\n1\n2\n3\n" {
			t.Errorf("%s: %q, %v", o.Key, body, err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d files were published, want 1", n)
	}
}
