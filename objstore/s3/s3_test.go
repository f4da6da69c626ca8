package s3_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/miniotest"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/s3"
	"github.com/sabot-stream/sabot/objstore/storetest"
)

func TestConformance(t *testing.T) {
	m := miniotest.Start(t)
	m.Bucket("sabot")
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) objstore.Bucket {
		b, err := s3.Open(s3.Options{Bucket: "sabot", Prefix: fmt.Sprintf("part/%d", n.Add(1)), Endpoint: m.Endpoint, PathStyle: true,
			Credentials: credentials.NewStaticV4(miniotest.User, miniotest.Password, "")})
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
}

func TestWhatTheUserCanMend(t *testing.T) {
	m := miniotest.Start(t)
	m.Bucket("there")
	for name, c := range map[string]struct {
		bucket, password, says string
	}{
		"no such bucket": {"missing", miniotest.Password, "create the bucket first"},
		"wrong secret":   {"there", "wrong", "the credentials are not valid there"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := s3.Open(s3.Options{Bucket: c.bucket, Endpoint: m.Endpoint, PathStyle: true, Credentials: credentials.NewStaticV4(miniotest.User, c.password, "")})
			if err != nil {
				t.Fatal(err)
			}
			_, putIf := b.PutIf(t.Context(), "k", nil, objstore.Absent)
			for what, err := range map[string]error{"put": b.Put(t.Context(), "k", nil), "put if": putIf} {
				if sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: %v of kind %s, want %q, kind invalid", what, err, sabot.KindOf(err), c.says)
				}
				if err != nil && strings.Contains(err.Error(), c.password) {
					t.Errorf("%s: the error shows the secret", what)
				}
			}
		})
	}
	for _, o := range []s3.Options{{Bucket: "bucket", Endpoint: "localhost:9000"}, {Bucket: "bucket", Endpoint: "ftp://x"}, {Endpoint: "http://x"}, {Bucket: "b"}, {Bucket: "bucket", Endpoint: "http://x/path"}} {
		if _, err := s3.Open(o); sabot.KindOf(err) != sabot.Invalid {
			t.Errorf("%+v: %v, want an Invalid error", o, err)
		}
	}
}

// store answers requests with a status each, the last one again and again.
func store(t *testing.T, answers ...int) (b *s3.Bucket, requests *atomic.Int64) {
	t.Helper()
	requests = new(atomic.Int64)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(requests.Add(1))
		status := answers[min(n, len(answers))-1]
		if status == 0 { // the answer is lost
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("ETag", `"tag"`)
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		if r.Method == http.MethodDelete && status == http.StatusOK {
			status = http.StatusNoContent
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(srv.Close)
	b, err := s3.Open(s3.Options{Bucket: "bucket", Endpoint: srv.URL, PathStyle: true, Credentials: credentials.NewStaticV4("id", "secret", "")})
	if err != nil {
		t.Fatal(err)
	}
	return b, requests
}

// A conditional write is sent once, whatever the answer: who repeats it blindly may take its own first effect for somebody else's.
func TestConditionalWritesAreSentOnce(t *testing.T) {
	for _, c := range []struct {
		status int
		want   error
	}{{503, objstore.ErrAmbiguous}, {500, objstore.ErrAmbiguous}, {429, objstore.ErrAmbiguous}, {0, objstore.ErrAmbiguous}, {409, objstore.ErrConflict},
		{412, objstore.ErrPrecondition}, {404, objstore.ErrPrecondition}, {200, nil}} {
		b, requests := store(t, c.status)
		if _, err := b.PutIf(t.Context(), "k", []byte("x"), "tag"); !errors.Is(err, c.want) {
			t.Errorf("status %d: %v, want %v", c.status, err, c.want)
		}
		if n := requests.Load(); n != 1 {
			t.Errorf("status %d: %d requests were sent, want 1", c.status, n)
		}
	}
}

func TestOtherRequestsAreRepeated(t *testing.T) {
	for name, do := range map[string]func(context.Context, *s3.Bucket) error{
		"put":    func(ctx context.Context, b *s3.Bucket) error { return b.Put(ctx, "k", []byte("x")) },
		"get":    func(ctx context.Context, b *s3.Bucket) error { _, _, err := b.Get(ctx, "k"); return err },
		"delete": func(ctx context.Context, b *s3.Bucket) error { return b.Delete(ctx, "k") },
	} {
		b, requests := store(t, 503, 503, 200)
		if err := do(t.Context(), b); err != nil || requests.Load() != 3 {
			t.Errorf("%s: %v after %d requests, want success at the third", name, err, requests.Load())
		}
	}
}
