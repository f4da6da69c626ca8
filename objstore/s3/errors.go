package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstore"
)

// failed gives an error of the client its meaning and its kind, and says what the user can do.
func (b *Bucket) failed(doing string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	r := minio.ToErrorResponse(err)
	switch advice := refusal(r); {
	case r.Code == minio.NoSuchKey, r.StatusCode == http.StatusNotFound && r.Code != minio.NoSuchBucket:
		return fmt.Errorf("%s: %w", doing, objstore.ErrNotFound)
	case advice != "":
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("%s in S3 bucket %s: %w: %s", doing, b.name, err, advice))
	}
	return sabot.WithKind(sabot.Retry, fmt.Errorf("%s in S3 bucket %s: %w", doing, b.name, err))
}

// refusal returns what the user can do about an answer that no repetition changes, "" for any other.
func refusal(r minio.ErrorResponse) string {
	switch r.Code {
	case minio.NoSuchBucket:
		return "create the bucket first"
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken":
		return "the credentials are not valid there; see AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_PROFILE"
	case "RequestTimeTooSkewed":
		return "set this machine's clock"
	case "AuthorizationHeaderMalformed", "PermanentRedirect":
		return "the bucket is in another region; append ?region=NAME to the URL"
	case "QuotaExceeded", "XMinioStorageFull", "InsufficientStorage":
		return "the store is full; free space and start the job again, it goes on from its last checkpoint"
	}
	switch r.StatusCode {
	case http.StatusForbidden, http.StatusUnauthorized:
		return "these credentials lack a right: a job reads, writes, lists and deletes below its prefix"
	case http.StatusBadRequest, http.StatusNotImplemented, http.StatusMethodNotAllowed:
		return "this store does not know the request"
	}
	return ""
}
