package gcs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/gcs"
)

// answering answers requests with a status each, the last one again and again;
// 0 loses the answer.
func answering(t *testing.T, answers ...int) (b *gcs.Bucket, requests *atomic.Int64) {
	t.Helper()
	requests = new(atomic.Int64)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(requests.Add(1))
		status := answers[min(n, len(answers))-1]
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		switch {
		case status == half:
			w.Header().Set("X-Goog-Generation", "7")
			w.Header().Set("Content-Length", "4")
			fmt.Fprint(w, "bo")
		case status == unpacked:
			w.Header().Set("X-Goog-Generation", "7")
			w.Header().Set("X-Goog-Stored-Content-Encoding", "gzip")
			w.(http.Flusher).Flush() // so that no length is told
			fmt.Fprint(w, "body")
		case status == http.StatusOK && r.Method == http.MethodGet:
			w.Header().Set("X-Goog-Generation", "7")
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader("body"))
		case status == http.StatusOK && r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		case status == http.StatusOK:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"name":"k","generation":"8","crc32c":"qTxfkw=="}`) // the checksum of x
		default:
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"error":{"code":%d,"message":"as asked","errors":[{"reason":"test"}]}}`, status)
		}
	}))
	t.Cleanup(srv.Close)
	b, err := gcs.Open(t.Context(), gcs.Options{Bucket: "bucket", Endpoint: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	return b, requests
}

// Answers that are no status: a body that breaks off, and one that the store has unpacked.
const (
	half = iota + 2
	unpacked
)

// A conditional write is sent once, whatever the answer: who repeats it blindly may take its own first effect for somebody else's.
func TestConditionalWritesAreSentOnce(t *testing.T) {
	for _, c := range []struct {
		status int
		want   error
	}{{503, objstore.ErrAmbiguous}, {500, objstore.ErrAmbiguous}, {429, objstore.ErrAmbiguous}, {408, objstore.ErrAmbiguous}, {0, objstore.ErrAmbiguous},
		{409, objstore.ErrConflict}, {412, objstore.ErrPrecondition}, {200, nil}} {
		for _, expected := range []objstore.Version{objstore.Absent, "7"} {
			b, requests := answering(t, c.status)
			v, err := b.PutIf(t.Context(), "k", []byte("x"), expected)
			if !errors.Is(err, c.want) {
				t.Errorf("status %d at %q: %v, want %v", c.status, expected, err, c.want)
			}
			if err == nil && v != "8" {
				t.Errorf("the new version is %q, want that of the answer", v)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("status %d at %q: %d requests were sent, want 1", c.status, expected, n)
			}
		}
	}
}

// A version of another store is not sent at all.
func TestForeignVersions(t *testing.T) {
	for _, v := range []objstore.Version{"tag", "0", "-1", `"7"`} {
		b, requests := answering(t, 200)
		if _, err := b.PutIf(t.Context(), "k", nil, v); !errors.Is(err, objstore.ErrPrecondition) || requests.Load() != 0 {
			t.Errorf("%q: %v after %d requests, want %v after none", v, err, requests.Load(), objstore.ErrPrecondition)
		}
	}
}

func TestOtherRequestsAreRepeated(t *testing.T) {
	for name, do := range map[string]func(context.Context, *gcs.Bucket) error{
		"put": func(ctx context.Context, b *gcs.Bucket) error { return b.Put(ctx, "k", []byte("x")) },
		"get": func(ctx context.Context, b *gcs.Bucket) error {
			body, v, err := b.Get(ctx, "k")
			if err == nil && (string(body) != "body" || v != "7") {
				err = fmt.Errorf("read %q at version %q", body, v)
			}
			return err
		},
		"delete": func(ctx context.Context, b *gcs.Bucket) error { return b.Delete(ctx, "k") },
	} {
		for _, failures := range [][]int{{503, 429}, {0, 500}} {
			b, requests := answering(t, append(failures, 200)...)
			if err := do(t.Context(), b); err != nil || requests.Load() != 3 {
				t.Errorf("%s after %v: %v after %d requests, want success at the third", name, failures, err, requests.Load())
			}
		}
	}
	b, requests := answering(t, half, 200)
	if body, _, err := b.Get(t.Context(), "k"); err != nil || string(body) != "body" || requests.Load() != 2 {
		t.Errorf("a body that breaks off: %q, %v after %d requests, want it whole at the second", body, err, requests.Load())
	}
}

// What has no known size is not taken for empty.
func TestUnpackedObjects(t *testing.T) {
	b, _ := answering(t, unpacked)
	if body, _, err := b.Get(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "content encoding") {
		t.Errorf("%q, %v, want an error", body, err)
	}
}

// What no repetition changes is asked once, and says what the user can do.
func TestWhatTheUserCanMend(t *testing.T) {
	for status, says := range map[int]string{401: "credentials are not valid", 403: "lack a right", 404: "create the bucket first", 400: "does not know the request"} {
		b, requests := answering(t, status)
		_, putIf := b.PutIf(t.Context(), "k", nil, objstore.Absent)
		for what, err := range map[string]error{"put": b.Put(t.Context(), "k", nil), "put if": putIf} {
			if sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), says) {
				t.Errorf("%s, status %d: %v of kind %s, want %q, kind invalid", what, status, err, sabot.KindOf(err), says)
			}
		}
		if requests.Load() != 2 {
			t.Errorf("status %d: %d requests, want one for each write", status, requests.Load())
		}
	}
}
