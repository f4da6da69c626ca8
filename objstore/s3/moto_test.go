package s3_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/s3"
	"github.com/sabot-stream/sabot/objstore/storetest"
)

// moto starts the S3 server of the moto project, a Python program, and returns its URL.
func moto(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("moto_server is not installed: pip install 'moto[server]'")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	l.Close()
	cmd := exec.Command(program, "-H", "127.0.0.1", "-p", fmt.Sprint(addr.Port))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // nothing of it is needed any more
		_ = cmd.Wait()
	})
	url := "http://" + addr.String()
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		r, err := http.Get(url)
		if err == nil {
			r.Body.Close()
			return url
		}
		if time.Since(began) > 30*time.Second {
			t.Fatalf("moto_server does not answer: %v", err)
		}
	}
}

func motoBucket(t *testing.T, url, prefix string) *s3.Bucket {
	t.Helper()
	b, err := s3.Open(s3.Options{Bucket: "sabot", Prefix: prefix, Endpoint: url, PathStyle: true, Credentials: credentials.NewStaticV4("user", "secret", "")})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConformanceOnMoto(t *testing.T) {
	url := moto(t)
	if err := motoBucket(t, url, "").Create(context.Background()); err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) objstore.Bucket { return motoBucket(t, url, fmt.Sprintf("part/%d", n.Add(1))) })
}
