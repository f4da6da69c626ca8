// Package gcs is a bucket in Google Cloud Storage. A program that wants it gives Scheme to run.Main: its libraries are heavy, so they are not in
// every program.
//
// Versions are generations, which never come twice. Objects are written by one request each. Google allows about one write a second of one object,
// so commits are a second apart.
package gcs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/gcp"
	"google.golang.org/api/option"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/internal/gocloud"
)

// Options of a bucket.
type Options struct {
	Bucket   string // name
	Prefix   string // of all keys; a slash is added
	Endpoint string // URL of an emulator, which is sent no credentials; empty: Google, with the application default credentials
}

// writeInterval is the time that Google asks for between two writes of one object.
const writeInterval = time.Second

// Scheme opens gs://bucket/prefix.
func Scheme() objstore.Scheme {
	return objstore.Scheme{Name: "gs", Form: "gs://bucket/prefix", Params: []string{"endpoint"}, Open: openLocation}
}

func openLocation(ctx context.Context, at objstore.Location) (objstore.Bucket, error) {
	b, err := Open(ctx, Options{Bucket: at.Name, Prefix: at.Prefix, Endpoint: at.Params.Get("endpoint")})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Bucket is a bucket, or the part of one below a prefix.
type Bucket struct {
	*gocloud.Bucket
	handle *storage.BucketHandle
	name   string
	idle   func() // closes idle connections
}

// Open returns a bucket. It looks for credentials, and makes no request to the store.
func Open(ctx context.Context, o Options) (*Bucket, error) {
	failed := func(err error) (*Bucket, error) {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open GCS bucket %s: %w", o.Bucket, err))
	}
	if o.Bucket == "" {
		return failed(errors.New("the URL names none; write gs://bucket/prefix"))
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	transport.ResponseHeaderTimeout = 30 * time.Second
	client, options, err := o.connect(ctx, transport)
	if err != nil {
		return failed(err)
	}
	blobs, err := gcsblob.OpenBucket(ctx, client, o.Bucket, &gcsblob.Options{ClientOptions: options})
	if err != nil {
		return failed(err)
	}
	var c *storage.Client
	if !blobs.As(&c) {
		return failed(errors.Join(errors.New("the library hides its client"), blobs.Close()))
	}
	c.SetRetry(storage.WithPolicy(storage.RetryNever)) // package gocloud repeats
	return &Bucket{Bucket: gocloud.New("GCS bucket "+o.Bucket, o.Prefix, blobs, store{blobs}), handle: c.Bucket(o.Bucket), name: o.Bucket, idle: transport.CloseIdleConnections}, nil
}

// connect returns a client with credentials, or one for an emulator.
func (o Options) connect(ctx context.Context, transport http.RoundTripper) (*gcp.HTTPClient, []option.ClientOption, error) {
	// One API for everything: reads by the other one go to another path, and need not be known by an emulator.
	options := []option.ClientOption{storage.WithJSONReads()}
	if o.Endpoint != "" {
		u, err := url.Parse(o.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
			return nil, nil, fmt.Errorf("endpoint %q: write it as http://host:port or https://host", o.Endpoint)
		}
		return gcp.NewAnonymousHTTPClient(transport), append(options, option.WithEndpoint(u.Scheme+"://"+u.Host+"/storage/v1/")), nil
	}
	// The credentials keep the context for as long as they fetch tokens.
	credentials, err := gcp.DefaultCredentials(context.WithoutCancel(ctx))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: set GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login", err)
	}
	client, err := gcp.NewHTTPClient(transport, gcp.CredentialsTokenSource(credentials))
	return client, options, err
}

// Limits implements objstore.Bucket.
func (b *Bucket) Limits() objstore.Limits { return objstore.Limits{CASInterval: writeInterval} }

// Close implements objstore.Bucket.
func (b *Bucket) Close() error {
	err := b.Bucket.Close()
	b.idle()
	return err
}

// Create creates the bucket in the project GOOGLE_CLOUD_PROJECT, unless it is there already.
func (b *Bucket) Create(ctx context.Context) error {
	there := true
	err := b.Do(ctx, "look for the bucket", func(ctx context.Context) error {
		_, err := b.handle.Attrs(ctx)
		if errors.Is(err, storage.ErrBucketNotExist) {
			there, err = false, nil
		}
		return err
	})
	if err != nil || there {
		return err
	}
	project := os.Getenv("GOOGLE_CLOUD_PROJECT")
	if project == "" {
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("create GCS bucket %s: set GOOGLE_CLOUD_PROJECT, which it is to belong to", b.name))
	}
	return b.Do(ctx, "create the bucket", func(ctx context.Context) error { return b.handle.Create(ctx, project, nil) })
}

// store is GCS as package gocloud sees it.
type store struct{ blobs *blob.Bucket }

// Once implements gocloud.Store: the client has been told.
func (store) Once(ctx context.Context) context.Context { return ctx }

// Version implements gocloud.Store. Package blob knows ETags of reads alone, not generations.
func (store) Version(r *blob.Reader) objstore.Version {
	var raw *storage.Reader
	if !r.As(&raw) {
		return objstore.Absent
	}
	return versionOf(raw.Attrs.Generation)
}

func versionOf(generation int64) objstore.Version {
	return objstore.Version(strconv.FormatInt(generation, 10))
}

// Write implements gocloud.Store. Package blob has no condition but absence, and does not tell what it wrote: both are asked of the writer below it.
func (s store) Write(ctx context.Context, key string, body []byte, expected *objstore.Version) (objstore.Version, error) {
	var writer *storage.Writer
	before := func(as func(any) bool) error {
		var object **storage.ObjectHandle
		if !as(&object) {
			return errors.New("the library hides its object")
		}
		if expected != nil {
			only, err := conditions(*expected)
			if err != nil {
				return err
			}
			*object = (*object).If(only)
		}
		if !as(&writer) {
			return errors.New("the library hides its writer")
		}
		writer.ChunkSize = 0 // one request: parts would be repeated by the client
		return nil
	}
	err := s.blobs.Upload(ctx, key, bytes.NewReader(body), &blob.WriterOptions{ContentType: gocloud.ContentType, BeforeWrite: before})
	if err != nil {
		return objstore.Absent, err
	}
	return versionOf(writer.Attrs().Generation), nil
}

// conditions are met by an object at a version. No object is at one that is not a positive number.
func conditions(expected objstore.Version) (storage.Conditions, error) {
	if expected == objstore.Absent {
		return storage.Conditions{DoesNotExist: true}, nil
	}
	generation, err := strconv.ParseInt(string(expected), 10, 64)
	if err != nil || generation <= 0 {
		return storage.Conditions{}, fmt.Errorf("version %q is no generation: %w", expected, errNoGeneration)
	}
	return storage.Conditions{GenerationMatch: generation}, nil
}

// errNoGeneration is of a version that GCS cannot have given: nothing is sent.
var errNoGeneration = errors.New("no object is at it")
