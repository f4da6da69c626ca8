// Package s3 is a bucket in any store that speaks S3: AWS, MinIO, R2, Ceph and others. Conditional writes use If-None-Match and If-Match; a store
// that ignores them is found out by objstore.Probe.
//
// Versions are ETags. An ETag may be a hash of the content, so two writes of equal bytes may share a version: whoever relies on versions makes
// bodies unique. Objects are always written by one PUT, never in parts, since stores differ in what they promise for parts.
//
// Reads, unconditional writes and deletes are repeated a few times when the store is busy. Conditional writes are sent once: their failure may hide
// an effect, which the caller finds out by reading.
package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
)

// Options of a bucket.
type Options struct {
	Bucket    string // name
	Prefix    string // of all keys; a slash is added
	Endpoint  string // URL; empty: AWS, by region
	Region    string // empty: AWS_REGION, or us-east-1
	PathStyle bool   // address as endpoint/bucket/key, as most stores other than AWS want it
	// Credentials; nil: the environment (AWS_*, then MINIO_*), the files of the AWS and MinIO command lines, and the instance's role, in this order.
	Credentials *credentials.Credentials
	Transport   http.RoundTripper // nil: with time limits on connecting and waiting for an answer
}

const (
	// attempts of what may be repeated.
	attempts = 6
	// casTimeout bounds a conditional write.
	casTimeout = 30 * time.Second
)

// Bucket is a bucket, or the part of one below a prefix.
type Bucket struct {
	name   string
	prefix string
	once   minio.Core // does not repeat
	many   minio.Core // repeats
	idle   func()     // closes idle connections
}

// Open returns a bucket. It makes no request.
func Open(o Options) (*Bucket, error) {
	host, secure, err := o.endpoint()
	if err != nil {
		return nil, err
	}
	if o.Bucket == "" {
		return nil, sabot.WithKind(sabot.Invalid, errors.New("open an S3 bucket: the URL names none; write s3://bucket/prefix"))
	}
	if err := s3utils.CheckValidBucketName(o.Bucket); err != nil {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open S3 bucket %s: %w", o.Bucket, err))
	}
	if o.Credentials == nil {
		o.Credentials = credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.EnvMinio{},
			&credentials.FileAWSCredentials{}, &credentials.FileMinioClient{}, &credentials.IAM{}})
	}
	b := &Bucket{name: o.Bucket, prefix: strings.Trim(o.Prefix, "/"), idle: func() {}}
	if o.Transport == nil {
		t, err := transport(secure)
		if err != nil {
			return nil, err
		}
		o.Transport, b.idle = t, t.CloseIdleConnections
	}
	if b.prefix != "" {
		b.prefix += "/"
	}
	for core, retries := range map[*minio.Core]int{&b.once: 1, &b.many: attempts} {
		opt := &minio.Options{Creds: o.Credentials, Secure: secure, Transport: o.Transport, Region: o.Region, MaxRetries: retries}
		if o.PathStyle {
			opt.BucketLookup = minio.BucketLookupPath
		}
		c, err := minio.NewCore(host, opt)
		if err != nil {
			return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open S3 bucket %s: %w", o.Bucket, err))
		}
		*core = *c
	}
	return b, nil
}

func (o *Options) endpoint() (host string, secure bool, err error) {
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Endpoint == "" {
		return "s3." + o.Region + ".amazonaws.com", true, nil
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
		return "", false, sabot.WithKind(sabot.Invalid, fmt.Errorf("S3 endpoint %q: write it as http://host:port or https://host", o.Endpoint))
	}
	return u.Host, u.Scheme == "https", nil
}

func transport(secure bool) (*http.Transport, error) {
	t, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, fmt.Errorf("prepare connections to S3: %w", err)
	}
	t.ResponseHeaderTimeout = casTimeout
	t.MaxIdleConnsPerHost = 64
	return t, nil
}

func (b *Bucket) key(key string) (string, error) {
	if err := objstore.CheckKey(key); err != nil {
		return "", err
	}
	return b.prefix + key, nil
}

// Get implements objstore.Bucket.
func (b *Bucket) Get(ctx context.Context, key string) ([]byte, objstore.Version, error) {
	k, err := b.key(key)
	if err != nil {
		return nil, "", err
	}
	body, info, err := b.read(ctx, k, minio.GetObjectOptions{})
	if err != nil {
		return nil, "", b.failed("read "+key, err)
	}
	return body, objstore.Version(info.ETag), nil
}

// read fetches an object or a range of it whole; what breaks off in the middle is asked for again.
func (b *Bucket) read(ctx context.Context, k string, opt minio.GetObjectOptions) (body []byte, info minio.ObjectInfo, err error) {
	for try := range attempts {
		if try > 0 {
			if err := clock.Real().Sleep(ctx, 50*time.Millisecond<<(try-1)); err != nil {
				return nil, info, err
			}
		}
		var r io.ReadCloser
		if r, info, _, err = b.many.GetObject(ctx, b.name, k, opt); err != nil {
			return nil, info, err // repeated by the client
		}
		body = make([]byte, 0, max(info.Size, 0))
		buf := bytes.NewBuffer(body)
		_, err = buf.ReadFrom(r)
		err = errors.Join(err, r.Close())
		if body = buf.Bytes(); err == nil && int64(len(body)) == info.Size {
			return body, info, nil
		}
		if err == nil {
			err = fmt.Errorf("%d of %d bytes: %w", len(body), info.Size, io.ErrUnexpectedEOF)
		}
	}
	return nil, info, err
}

// GetRange implements objstore.Bucket.
func (b *Bucket) GetRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	k, err := b.key(key)
	if err != nil {
		return nil, err
	}
	short := func(have string) error {
		return fmt.Errorf("read %s at %d, %d bytes%s: %w", key, off, n, have, io.ErrUnexpectedEOF)
	}
	if off < 0 || n < 0 {
		return nil, short("")
	}
	if n == 0 { // HTTP has no empty range
		info, err := b.many.StatObject(ctx, b.name, k, minio.StatObjectOptions{})
		if err != nil {
			return nil, b.failed("read "+key, err)
		}
		if off > info.Size {
			return nil, short(fmt.Sprintf(" of %d", info.Size))
		}
		return []byte{}, nil
	}
	var opt minio.GetObjectOptions
	if err := opt.SetRange(off, off+n-1); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	body, _, err := b.read(ctx, k, opt)
	if minio.ToErrorResponse(err).StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return nil, short("")
	}
	if err != nil {
		return nil, b.failed("read "+key, err)
	}
	if int64(len(body)) != n {
		return nil, short(fmt.Sprintf(", %d are there", len(body)))
	}
	return body, nil
}

// Put implements objstore.Bucket.
func (b *Bucket) Put(ctx context.Context, key string, body []byte) error {
	k, err := b.key(key)
	if err != nil {
		return err
	}
	_, err = b.many.Client.PutObject(ctx, b.name, k, bytes.NewReader(body), int64(len(body)), whole(body))
	if err != nil {
		return b.failed("write "+key, err)
	}
	return nil
}

// whole returns the options of a write by one request. An empty body is not signed chunk by chunk, since the client would then send it without its
// length, which stores refuse.
func whole(body []byte) minio.PutObjectOptions {
	return minio.PutObjectOptions{DisableMultipart: true, DisableContentSha256: len(body) == 0}
}

// PutIf implements objstore.Bucket.
func (b *Bucket) PutIf(ctx context.Context, key string, body []byte, expected objstore.Version) (objstore.Version, error) {
	k, err := b.key(key)
	if err != nil {
		return "", err
	}
	if err := ctx.Err(); err != nil {
		return "", err // nothing has been sent
	}
	opt := whole(body)
	if expected == objstore.Absent {
		opt.SetMatchETagExcept("*")
	} else {
		opt.SetMatchETag(string(expected))
	}
	ctx, cancel := context.WithTimeout(ctx, casTimeout)
	defer cancel()
	info, err := b.once.Client.PutObject(ctx, b.name, k, bytes.NewReader(body), int64(len(body)), opt)
	if err == nil {
		return objstore.Version(info.ETag), nil
	}
	r := minio.ToErrorResponse(err)
	switch {
	case r.StatusCode == http.StatusPreconditionFailed, r.Code == minio.PreconditionFailed:
		return "", fmt.Errorf("write %s: %w", key, objstore.ErrPrecondition)
	case r.StatusCode == http.StatusNotFound && r.Code != minio.NoSuchBucket && expected != objstore.Absent:
		return "", fmt.Errorf("write %s: it does not exist: %w", key, objstore.ErrPrecondition)
	case r.StatusCode == http.StatusConflict:
		return "", fmt.Errorf("write %s: %w: %w", key, objstore.ErrConflict, err)
	case refusal(r) != "":
		return "", b.failed("write "+key, err)
	}
	return "", fmt.Errorf("write %s: %w: %w", key, objstore.ErrAmbiguous, err)
}

// List implements objstore.Bucket.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(objstore.Object{}, err)
			return
		}
		for o := range b.many.Client.ListObjectsIter(ctx, b.name, minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true}) {
			if o.Err != nil {
				yield(objstore.Object{}, b.failed("list "+prefix, o.Err))
				return
			}
			key := strings.TrimPrefix(o.Key, b.prefix)
			if objstore.CheckKey(key) != nil {
				continue // somebody else's: ours never end in a slash, for one
			}
			if !yield(objstore.Object{Key: key, Size: o.Size}, nil) {
				return
			}
		}
	}
}

// Delete implements objstore.Bucket.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	k, err := b.key(key)
	if err != nil {
		return err
	}
	if err := b.many.Client.RemoveObject(ctx, b.name, k, minio.RemoveObjectOptions{}); err != nil {
		return b.failed("delete "+key, err)
	}
	return nil
}

// Create creates the bucket, unless it is there already.
func (b *Bucket) Create(ctx context.Context) error {
	there, err := b.many.BucketExists(ctx, b.name)
	if err == nil && !there {
		err = b.many.MakeBucket(ctx, b.name, minio.MakeBucketOptions{})
		if code := minio.ToErrorResponse(err).Code; code == minio.BucketAlreadyOwnedByYou {
			return nil
		}
	}
	if err != nil {
		return b.failed("create the bucket", err)
	}
	return nil
}

// Limits implements objstore.Bucket.
func (b *Bucket) Limits() objstore.Limits { return objstore.Limits{Remote: true} }

// Close implements objstore.Bucket.
func (b *Bucket) Close() error {
	b.idle()
	return nil
}
