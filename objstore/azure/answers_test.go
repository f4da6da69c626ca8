package azure_test

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
	"github.com/sabot-stream/sabot/objstore/azure"
)

// An answer is a status, with Azure's code for errors. Status 0 is a lost answer.
type answer struct {
	status int
	code   string
}

const half = 2 // of a body, which breaks off there

// answering answers requests one after the other, the last one again and again.
func answering(t *testing.T, answers ...answer) (b *azure.Bucket, requests *atomic.Int64) {
	t.Helper()
	requests = new(atomic.Int64)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(requests.Add(1))
		a := answers[min(n, len(answers))-1]
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		switch {
		case a.status == 0:
			panic(http.ErrAbortHandler)
		case a.status == half:
			w.Header().Set("ETag", `"0x7"`)
			w.Header().Set("Content-Length", "4")
			fmt.Fprint(w, "bo")
		case a.status == http.StatusOK && r.Method == http.MethodGet:
			w.Header().Set("ETag", `"0x7"`)
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader("body"))
		case a.status == http.StatusOK && r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusAccepted)
		case a.status == http.StatusOK:
			w.Header().Set("ETag", `"0x8"`)
			w.WriteHeader(http.StatusCreated)
		default:
			w.Header().Set("x-ms-error-code", a.code)
			w.WriteHeader(a.status)
		}
	}))
	t.Cleanup(srv.Close)
	t.Setenv("AZURE_STORAGE_ACCOUNT", account)
	t.Setenv("AZURE_STORAGE_KEY", key)
	return open(t, azure.Options{Container: "container", Endpoint: srv.URL + "/" + account}), requests
}

// A conditional write is sent once, whatever the answer: who repeats it blindly may take its own first effect for somebody else's.
func TestConditionalWritesAreSentOnce(t *testing.T) {
	for _, c := range []struct {
		answer
		want error
	}{
		{answer{503, "ServerBusy"}, objstore.ErrAmbiguous}, {answer{500, "OperationTimedOut"}, objstore.ErrAmbiguous}, {answer{429, ""}, objstore.ErrAmbiguous},
		{answer{408, ""}, objstore.ErrAmbiguous}, {answer{0, ""}, objstore.ErrAmbiguous}, {answer{409, "OperationInProgress"}, objstore.ErrConflict},
		{answer{409, "BlobAlreadyExists"}, objstore.ErrPrecondition}, {answer{412, "ConditionNotMet"}, objstore.ErrPrecondition}, {answer{200, ""}, nil},
	} {
		for _, expected := range []objstore.Version{objstore.Absent, `"0x7"`} {
			b, requests := answering(t, c.answer)
			v, err := b.PutIf(t.Context(), "k", []byte("x"), expected)
			if !errors.Is(err, c.want) {
				t.Errorf("%v at %q: %v, want %v", c.answer, expected, err, c.want)
			}
			if err == nil && v != `"0x8"` {
				t.Errorf("the new version is %q, want that of the answer", v)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%v at %q: %d requests were sent, want 1", c.answer, expected, n)
			}
		}
	}
	b, _ := answering(t, answer{404, "BlobNotFound"})
	if _, err := b.PutIf(t.Context(), "k", nil, `"0x7"`); !errors.Is(err, objstore.ErrPrecondition) {
		t.Errorf("replace of a missing object: %v, want %v", err, objstore.ErrPrecondition)
	}
}

// What is large is one request too, which says its condition.
func TestLargeWritesAreOneRequest(t *testing.T) {
	body := make([]byte, 20<<20) // several of the client's blocks
	for _, put := range []func(*azure.Bucket) error{
		func(b *azure.Bucket) error { return b.Put(t.Context(), "k", body) },
		func(b *azure.Bucket) error { _, err := b.PutIf(t.Context(), "k", body, objstore.Absent); return err },
	} {
		b, requests := answering(t, answer{200, ""})
		if err := put(b); err != nil || requests.Load() != 1 {
			t.Errorf("%v after %d requests, want success at the first", err, requests.Load())
		}
	}
}

func TestOtherRequestsAreRepeated(t *testing.T) {
	for name, do := range map[string]func(context.Context, *azure.Bucket) error{
		"put": func(ctx context.Context, b *azure.Bucket) error { return b.Put(ctx, "k", []byte("x")) },
		"get": func(ctx context.Context, b *azure.Bucket) error {
			body, v, err := b.Get(ctx, "k")
			if err == nil && (string(body) != "body" || v != `"0x7"`) {
				err = fmt.Errorf("read %q at version %q", body, v)
			}
			return err
		},
		"delete": func(ctx context.Context, b *azure.Bucket) error { return b.Delete(ctx, "k") },
	} {
		for _, failures := range [][]answer{{{503, "ServerBusy"}, {429, ""}}, {{0, ""}, {500, "InternalError"}}} {
			b, requests := answering(t, append(failures, answer{200, ""})...)
			if err := do(t.Context(), b); err != nil || requests.Load() != 3 {
				t.Errorf("%s after %v: %v after %d requests, want success at the third", name, failures, err, requests.Load())
			}
		}
	}
	b, requests := answering(t, answer{half, ""}, answer{200, ""})
	if body, _, err := b.Get(t.Context(), "k"); err != nil || string(body) != "body" || requests.Load() != 2 {
		t.Errorf("a body that breaks off: %q, %v after %d requests, want it whole at the second", body, err, requests.Load())
	}
}

// What no repetition changes is asked once, and says what the user can do.
func TestWhatTheUserCanMend(t *testing.T) {
	for a, says := range map[answer]string{{403, "AuthenticationFailed"}: "credentials are not valid", {403, "AuthorizationPermissionMismatch"}: "lack a right",
		{404, "ContainerNotFound"}: "create the container first", {400, "InvalidHeaderValue"}: "does not know the request", {409, "BlobImmutableDueToPolicy"}: "cannot be replaced"} {
		b, requests := answering(t, a)
		_, putIf := b.PutIf(t.Context(), "k", nil, objstore.Absent)
		for what, err := range map[string]error{"put": b.Put(t.Context(), "k", nil), "put if": putIf} {
			if sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), says) {
				t.Errorf("%s, %v: %v of kind %s, want %q, kind invalid", what, a, err, sabot.KindOf(err), says)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: the error has several lines: %v", what, err)
			}
			if err != nil && strings.Contains(err.Error(), key) {
				t.Errorf("%s: the error shows the key", what)
			}
		}
		if requests.Load() != 2 {
			t.Errorf("%v: %d requests, want one for each write", a, requests.Load())
		}
	}
}
