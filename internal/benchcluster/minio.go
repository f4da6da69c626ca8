package benchcluster

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
)

// minioPatience is how long a MinIO server may take to answer.
const minioPatience = 30 * time.Second

// startMinIO starts a MinIO server with an empty disk, and makes a bucket in it.
func (b *Bench) startMinIO(ctx context.Context, program string) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	const user, password = "sabot-bench", "sabot-bench-secret"
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": user, "AWS_SECRET_ACCESS_KEY": password, "AWS_REGION": "us-east-1"} {
		if err := os.Setenv(name, value); err != nil { // of this process too, which looks into the bucket
			return err
		}
	}
	log, err := os.Create(filepath.Join(b.dir, "minio.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program, "server", filepath.Join(b.dir, "minio"), "--address", addr, "--quiet")
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+user, "MINIO_ROOT_PASSWORD="+password, "MINIO_CI_CD=1", "MINIO_BROWSER=off", "MINIO_UPDATE=off")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start MinIO: %w", err)
	}
	b.minio = cmd
	b.bucket = fmt.Sprintf("s3://sabot-bench?endpoint=%s&path_style=true", url.QueryEscape("http://"+addr))
	return createBucket(ctx, b.bucket)
}

// createBucket makes a bucket at a store that may only be starting.
func createBucket(ctx context.Context, url string) error {
	bucket, err := bucketurl.Open(ctx, url)
	if err != nil {
		return err
	}
	defer bucket.Close()
	store, ok := bucket.(interface{ Create(context.Context) error })
	if !ok {
		return nil
	}
	for until := clock.Real().Now().Add(minioPatience); ; {
		err := store.Create(ctx)
		if err == nil || clock.Real().Now().After(until) {
			return err
		}
		if err := clock.Real().Sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}
