package s3_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/s3"
	"github.com/sabot-stream/sabot/objstore/storetest"
)

// fakeBucket opens a part of a bucket of a gofakes3 server.
func fakeBucket(t *testing.T, url, prefix string) *s3.Bucket {
	t.Helper()
	b, err := s3.Open(s3.Options{Bucket: "sabot", Prefix: prefix, Endpoint: url, PathStyle: true, Credentials: credentials.NewStaticV4("user", "secret", "")})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConformanceOnGofakes3(t *testing.T) {
	srv := httptest.NewServer(gofakes3.New(s3mem.New()).Server())
	t.Cleanup(srv.Close)
	if err := fakeBucket(t, srv.URL, "").Create(context.Background()); err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) objstore.Bucket { return fakeBucket(t, srv.URL, fmt.Sprintf("part/%d", n.Add(1))) })
}
