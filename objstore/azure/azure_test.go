package azure_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/file"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/azure"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
	"github.com/sabot-stream/sabot/objstore/storetest"
	"github.com/sabot-stream/sabot/run"
)

func open(t *testing.T, o azure.Options) *azure.Bucket {
	t.Helper()
	b, err := azure.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// created starts an emulator with a container named sabot.
func created(t *testing.T) (endpoint string) {
	t.Helper()
	endpoint = azurite(t)
	for range 2 {
		if err := open(t, azure.Options{Container: "sabot", Endpoint: endpoint}).Create(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return endpoint
}

func TestConformance(t *testing.T) {
	endpoint := created(t)
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) objstore.Bucket {
		return open(t, azure.Options{Container: "sabot", Prefix: fmt.Sprintf("part/%d", n.Add(1)), Endpoint: endpoint})
	})
}

// A listing of several answers is one listing, and names outside of the prefix or fit for no key are left out.
func TestLongListings(t *testing.T) {
	endpoint := created(t)
	b, whole := open(t, azure.Options{Container: "sabot", Prefix: "p", Endpoint: endpoint}), open(t, azure.Options{Container: "sabot", Endpoint: endpoint})
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

// Characters that package azureblob escapes are written under the names by which they are read.
func TestEscapedKeys(t *testing.T) {
	b := open(t, azure.Options{Container: "sabot", Endpoint: created(t)})
	const key = `a"b/c#d%e?f%23`
	v, err := b.PutIf(t.Context(), key, []byte("x"), objstore.Absent)
	if err != nil {
		t.Fatal(err)
	}
	if body, got, err := b.Get(t.Context(), key); err != nil || string(body) != "x" || got != v {
		t.Errorf("%q at %q, %v, want it at %q", body, got, err, v)
	}
	for o, err := range b.List(t.Context(), `a"`) {
		if err != nil || o.Key != key {
			t.Errorf("%q is listed, %v, want %q", o.Key, err, key)
		}
	}
	if err := b.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Get(t.Context(), key); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("after its end: %v, want %v", err, objstore.ErrNotFound)
	}
}

func TestBadOptionsAndCredentials(t *testing.T) {
	invalid := func(what, says string, err error) {
		t.Helper()
		if sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v of kind %s, want an Invalid error with %q", what, err, sabot.KindOf(err), says)
		}
	}
	for _, name := range []string{"AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGEBLOB_CONNECTIONSTRING"} {
		t.Setenv(name, "")
	}
	_, err := azure.Open(t.Context(), azure.Options{Container: "c"})
	invalid("no account", "AZURE_STORAGE_ACCOUNT", err)
	_, err = azure.Open(t.Context(), azure.Options{Account: "a"})
	invalid("no container", "azblob://container/prefix", err)
	for _, endpoint := range []string{"localhost:10000", "ftp://x", "http://x/a?sig=b"} {
		_, err = azure.Open(t.Context(), azure.Options{Container: "c", Endpoint: endpoint})
		invalid(endpoint, "http://host:port/account", err)
	}
	_, err = bucketurl.Open(t.Context(), "azblob://c?storage_account=x", azure.Scheme())
	invalid("an unknown parameter", "account, endpoint", err)
	t.Setenv("AZURE_STORAGE_SAS_TOKEN", "sig=secret")
	for _, o := range []azure.Options{{Container: "c", Account: "a"}, {Container: "c", Endpoint: "http://x/a"}} {
		_, err = azure.Open(t.Context(), o)
		invalid("a token that would go elsewhere", "belongs to an account", err)
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Error("the error shows the token")
		}
	}
}

// A job keeps its state, reads and publishes in Azure.
func TestJob(t *testing.T) {
	at := func(path string) string { return "azblob://sabot/" + path }
	query := "?endpoint=" + url.QueryEscape(created(t))
	in, err := bucketurl.Open(t.Context(), at("in")+query, azure.Scheme())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := in.Put(t.Context(), "one.csv", []byte("n\n1\n2\n3\n")); err != nil {
		t.Fatal(err)
	}
	job := sabot.NewJob("copy")
	job.Source("in", file.Source{URL: at("in/*.csv") + query}).Sink("out", file.Sink{URL: at("out") + query, Format: file.CSV})
	res, err := run.Run(t.Context(), job, run.Options{Bucket: at("jobs") + query, Buckets: []objstore.Scheme{azure.Scheme()}})
	if err != nil || !res.Finished || res.RowsRead != 3 {
		t.Fatalf("the job: %+v, %v", res, err)
	}
	out, err := bucketurl.Open(t.Context(), at("out")+query, azure.Scheme())
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
