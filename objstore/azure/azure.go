// Package azure is a bucket in Azure Blob Storage: a container. A program that wants it gives Scheme to run.Main: its libraries are heavy, so they
// are not in every program.
//
// Versions are ETags, which never come twice. Objects are block blobs, written by one request each.
//
// Credentials are those of package gocloud.dev/blob/azureblob: AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY, else AZURE_STORAGE_SAS_TOKEN, else
// AZURE_STORAGE_CONNECTION_STRING, else what azidentity.NewDefaultAzureCredential finds: AZURE_CLIENT_ID and so on, a workload or managed identity,
// or the Azure command line's.
package azure

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	azureblobs "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/internal/gocloud"
)

// Options of a bucket.
type Options struct {
	Container string // name
	Prefix    string // of all keys; a slash is added
	Account   string // empty: AZURE_STORAGE_ACCOUNT
	Endpoint  string // URL of the account, for an emulator: http://127.0.0.1:10000/devstoreaccount1; empty: Azure's, by account
}

// Scheme opens azblob://container/prefix.
func Scheme() objstore.Scheme {
	return objstore.Scheme{Name: "azblob", Form: "azblob://container/prefix", Params: []string{"account", "endpoint"}, Open: openLocation}
}

func openLocation(ctx context.Context, at objstore.Location) (objstore.Bucket, error) {
	b, err := Open(ctx, Options{Container: at.Name, Prefix: at.Prefix, Account: at.Params.Get("account"), Endpoint: at.Params.Get("endpoint")})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Bucket is a container, or the part of one below a prefix.
type Bucket struct {
	*gocloud.Bucket
	container *container.Client
}

// Open returns a bucket. It makes no request.
func Open(ctx context.Context, o Options) (*Bucket, error) {
	failed := func(err error) (*Bucket, error) {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open Azure container %s: %w", o.Container, err))
	}
	if o.Container == "" {
		return failed(errors.New("the URL names none; write azblob://container/prefix"))
	}
	at, err := o.service()
	if err != nil {
		return failed(err)
	}
	client, err := azureblob.NewDefaultClient(at, azureblob.ContainerName(o.Container))
	if err != nil {
		return failed(err)
	}
	blobs, err := azureblob.OpenBucket(ctx, client, nil)
	if err != nil {
		return failed(err)
	}
	return &Bucket{Bucket: gocloud.New("Azure container "+o.Container, o.Prefix, blobs, store{client}), container: client}, nil
}

// service returns the URL of the account.
func (o Options) service() (azureblob.ServiceURL, error) {
	env := azureblob.NewDefaultServiceURLOptions()
	// A SAS token goes wherever the URL says, and a connection string says where by itself.
	if byKey := os.Getenv("AZURE_STORAGE_ACCOUNT") != "" && os.Getenv("AZURE_STORAGE_KEY") != ""; !byKey && o.Account+o.Endpoint != "" {
		for _, name := range []string{"AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGEBLOB_CONNECTIONSTRING"} {
			if os.Getenv(name) != "" {
				return "", fmt.Errorf("%s belongs to an account: leave account and endpoint out of the URL, or unset it", name)
			}
		}
	}
	if o.Endpoint != "" {
		u, err := url.Parse(o.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" {
			return "", fmt.Errorf("endpoint %q: write it as http://host:port/account or https://host", o.Endpoint)
		}
		return azureblob.ServiceURL(strings.TrimSuffix(o.Endpoint, "/")), nil
	}
	env.AccountName = cmp.Or(o.Account, env.AccountName)
	if env.AccountName == "" {
		return "", errors.New("no account is named; set AZURE_STORAGE_ACCOUNT, or append ?account=NAME to the URL")
	}
	return azureblob.NewServiceURL(env)
}

// Limits implements objstore.Bucket.
func (b *Bucket) Limits() objstore.Limits { return objstore.Limits{} }

// Create creates the container, unless it is there already.
func (b *Bucket) Create(ctx context.Context) error {
	return b.Do(ctx, "create the container", func(ctx context.Context) error {
		_, err := b.container.Create(ctx, nil)
		if bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
			return nil
		}
		return err
	})
}

// store is Azure as package gocloud sees it.
type store struct{ container *container.Client }

// Once implements gocloud.Store.
func (store) Once(ctx context.Context) context.Context {
	return policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: -1})
}

// Version implements gocloud.Store. Package blob does not give the ETag of what is being read.
func (store) Version(r *blob.Reader) objstore.Version {
	var raw azureblobs.DownloadStreamResponse
	if !r.As(&raw) || raw.ETag == nil {
		return objstore.Absent
	}
	return objstore.Version(*raw.ETag)
}

// Write implements gocloud.Store, by the client below package azureblob, whose own writer does not do: it drops the answer with the new ETag, and it
// copies the body into memory of its own that it unmaps when an answer comes, also one that comes while the body is being sent, which ends the
// process by a fault.
func (s store) Write(ctx context.Context, key string, body []byte, expected *objstore.Version) (objstore.Version, error) {
	kind := gocloud.ContentType
	o := &blockblob.UploadOptions{HTTPHeaders: &azureblobs.HTTPHeaders{BlobContentType: &kind}}
	if expected != nil {
		o.AccessConditions = &azureblobs.AccessConditions{ModifiedAccessConditions: conditions(*expected)}
	}
	r, err := s.container.NewBlockBlobClient(escaped.Replace(key)).Upload(ctx, streaming.NopCloser(bytes.NewReader(body)), o)
	if err != nil {
		return objstore.Absent, err
	}
	if r.ETag == nil {
		return objstore.Absent, errors.New("the store did not tell the version that it wrote")
	}
	return objstore.Version(*r.ETag), nil
}

// escaped are the characters of keys that package azureblob keeps out of the names of blobs, as its documentation says how; objstore.CheckKey refuses
// the others.
var escaped = strings.NewReplacer(`"`, "__0x22__", "#", "__0x23__", "%", "__0x25__", "?", "__0x3f__")

// conditions are met by a blob at a version.
func conditions(expected objstore.Version) *azureblobs.ModifiedAccessConditions {
	tag := azcore.ETagAny
	if expected == objstore.Absent {
		return &azureblobs.ModifiedAccessConditions{IfNoneMatch: &tag}
	}
	tag = azcore.ETag(expected)
	return &azureblobs.ModifiedAccessConditions{IfMatch: &tag}
}
