package s3

import (
	"cmp"
	"context"
	"os"

	"github.com/sabot-stream/sabot/objstore"
)

// Scheme opens s3://bucket/prefix.
func Scheme() objstore.Scheme {
	return objstore.Scheme{Name: "s3", Form: "s3://bucket/prefix", Params: []string{"endpoint", "region", "path_style"}, Open: openLocation}
}

func openLocation(_ context.Context, at objstore.Location) (objstore.Bucket, error) {
	b, err := Open(Options{Bucket: at.Name, Prefix: at.Prefix, Endpoint: at.Params.Get("endpoint"), Region: cmp.Or(at.Params.Get("region"), os.Getenv("AWS_REGION")),
		PathStyle: at.Params.Get("path_style") == "true"})
	if err != nil {
		return nil, err
	}
	return b, nil
}
