package s3_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/sabot-stream/sabot/internal/miniotest"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/s3"
	"github.com/sabot-stream/sabot/objstore/storetest"
)

// versitygw starts the S3 gateway of the Versity project over a folder, and returns its URL. The program is SABOT_VERSITYGW, or what
// `make versitygw` has built; without one the test is skipped.
func versitygw(t *testing.T) string {
	t.Helper()
	program := os.Getenv("SABOT_VERSITYGW")
	if program == "" {
		program = filepath.Join("..", "..", ".tools", "versitygw")
		if _, err := os.Stat(program); err != nil {
			t.Skip("there is no versitygw: `make versitygw` builds it, or SABOT_VERSITYGW names it")
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cmd := exec.Command(program, "--port", addr, "--health", "/health", "--quiet", "posix", t.TempDir())
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+miniotest.User, "ROOT_SECRET_KEY="+miniotest.Password)
	cmd.Stderr = os.Stderr // why it does not start
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // nothing of it is needed any more
		_ = cmd.Wait()
	})
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		r, err := http.Get("http://" + addr + "/health")
		if err == nil {
			r.Body.Close()
			return "http://" + addr
		}
		if time.Since(began) > 30*time.Second {
			t.Fatalf("versitygw does not answer: %v", err)
		}
	}
}

func TestConformanceOnVersitygw(t *testing.T) {
	url := versitygw(t)
	open := func(t *testing.T, prefix string) *s3.Bucket {
		b, err := s3.Open(s3.Options{Bucket: "sabot", Prefix: prefix, Endpoint: url, PathStyle: true,
			Credentials: credentials.NewStaticV4(miniotest.User, miniotest.Password, "")})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if err := open(t, "").Create(context.Background()); err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) objstore.Bucket { return open(t, fmt.Sprintf("part/%d", n.Add(1))) })
}
