// Package miniotest starts MinIO servers for tests.
package miniotest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// User and Password are those of every server that Start starts.
const (
	User     = "sabot-test"
	Password = "sabot-test-secret"
)

// Server is a running MinIO.
type Server struct {
	Endpoint string // URL

	t    testing.TB
	dir  string
	addr string
	cmd  *exec.Cmd
}

// Binary returns the path of the MinIO program: SABOT_MINIO, or what `make minio` has built; empty when there is none.
func Binary() string {
	if path := os.Getenv("SABOT_MINIO"); path != "" {
		return path
	}
	_, here, _, _ := runtime.Caller(0)
	path := filepath.Join(filepath.Dir(here), "..", "..", ".tools", "minio")
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// Start starts a server with an empty disk, which ends with the test. Without a MinIO program the test is skipped.
func Start(t testing.TB) *Server {
	t.Helper()
	if Binary() == "" {
		t.Skip("there is no MinIO: `make minio` builds it, or SABOT_MINIO names it")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, dir: t.TempDir(), addr: l.Addr().String()}
	s.Endpoint = "http://" + s.addr
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s.Resume()
	t.Cleanup(s.Stop)
	return s
}

// Resume starts the server again on its disk, and waits until it answers.
func (s *Server) Resume() {
	s.t.Helper()
	s.cmd = exec.Command(Binary(), "server", s.dir, "--address", s.addr, "--quiet")
	s.cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+User, "MINIO_ROOT_PASSWORD="+Password, "MINIO_CI_CD=1", "MINIO_BROWSER=off", "MINIO_UPDATE=off")
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("start MinIO: %v", err)
	}
	for range 300 {
		resp, err := http.Get(s.Endpoint + "/minio/health/ready")
		if err == nil {
			_ = resp.Body.Close() // only the status counts
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.t.Fatal("MinIO does not answer after 30 s")
}

// Stop kills the server; what it has confirmed stays on its disk.
func (s *Server) Stop() {
	_ = s.cmd.Process.Kill() // it may have ended
	_ = s.cmd.Wait()         // says that it was killed
}

// Freeze stops the server without ending it: it answers nothing until Thaw.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("signal MinIO: %v", err)
	}
}

// Disk returns the folder in which the server keeps a bucket.
func (s *Server) Disk(bucket string) string { return filepath.Join(s.dir, bucket) }

// Bucket creates a bucket and returns its URL as Sabot takes it.
func (s *Server) Bucket(name string) string {
	s.t.Helper()
	c, err := minio.New(s.addr, &minio.Options{Creds: credentials.NewStaticV4(User, Password, "")})
	if err == nil {
		err = c.MakeBucket(context.Background(), name, minio.MakeBucketOptions{})
	}
	if err != nil {
		s.t.Fatalf("create bucket %s: %v", name, err)
	}
	return fmt.Sprintf("s3://%s?endpoint=%s&path_style=true", name, url.QueryEscape(s.Endpoint))
}

// Env returns the environment by which a process reaches the server.
func Env() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + User, "AWS_SECRET_ACCESS_KEY=" + Password, "AWS_REGION=us-east-1"}
}
