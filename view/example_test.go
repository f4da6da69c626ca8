package view_test

import (
	"context"
	"fmt"

	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/view"
)

// The last flight of a route, and how many routes there are: see examples/routes.
func Example() {
	_ = func(ctx context.Context, bucket objstore.Bucket) error {
		v, err := view.Open(ctx, bucket, "routes", view.Follow())
		if err != nil {
			return err
		}
		defer v.Close()
		rows, err := v.Get(ctx, "spells", "JFK", "LAX")
		if err != nil {
			return err
		}
		for _, r := range rows {
			fmt.Println(r.Value("last"))
		}
		n := int64(0)
		for rec, err := range v.Batches(ctx, "spells") {
			if err != nil {
				return err
			}
			n += rec.NumRows()
		}
		fmt.Println(n)
		return nil
	}
}
