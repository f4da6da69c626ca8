// Package benchbucket makes the buckets that benchmarks measure on.
package benchbucket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
)

// patience is how long a server may take to answer.
const patience = 30 * time.Second

// StartMinIO starts a MinIO server with an empty disk under dir, and makes a bucket in it. It puts the server's credentials into the environment of this
// process and of those that it starts. Stop ends the server; what it has on its disk stays.
func StartMinIO(ctx context.Context, program, dir string) (bucket string, stop func(), err error) {
	addr, err := FreeAddr()
	if err != nil {
		return "", nil, err
	}
	const user, password = "sabot-bench", "sabot-bench-secret"
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": user, "AWS_SECRET_ACCESS_KEY": password, "AWS_REGION": "us-east-1"} {
		if err := os.Setenv(name, value); err != nil {
			return "", nil, err
		}
	}
	log, err := os.Create(filepath.Join(dir, "minio.log"))
	if err != nil {
		return "", nil, err
	}
	defer log.Close()
	cmd := exec.Command(program, "server", filepath.Join(dir, "minio"), "--address", addr, "--quiet")
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+user, "MINIO_ROOT_PASSWORD="+password, "MINIO_CI_CD=1", "MINIO_BROWSER=off", "MINIO_UPDATE=off")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("start MinIO: %w", err)
	}
	stop = func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // says that it was killed
	}
	bucket = fmt.Sprintf("s3://sabot-bench?endpoint=%s&path_style=true", url.QueryEscape("http://"+addr))
	if err := create(ctx, bucket); err != nil {
		stop()
		return "", nil, err
	}
	return bucket, stop, nil
}

// FreeAddr returns an address of this machine at which nobody listens.
func FreeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// create makes a bucket at a store that may only be starting.
func create(ctx context.Context, url string) (err error) {
	bucket, err := bucketurl.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bucket.Close()) }()
	store, ok := bucket.(interface{ Create(context.Context) error })
	if !ok {
		return nil
	}
	for until := clock.Real().Now().Add(patience); ; {
		err := store.Create(ctx)
		if err == nil || clock.Real().Now().After(until) {
			return err
		}
		if err := clock.Real().Sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// Within returns the URL of a folder in a bucket.
func Within(bucket, folder string) string {
	path, query, has := strings.Cut(bucket, "?")
	path = strings.TrimSuffix(path, "/") + "/" + folder
	if has {
		path += "?" + query
	}
	return path
}
