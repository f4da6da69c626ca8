package azure

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"github.com/sabot-stream/sabot/objstore/internal/gocloud"
)

// nonRetriable is an error of the client itself that no repetition changes, such as that there are no credentials.
type nonRetriable interface {
	error
	NonRetriable()
}

// Answer implements gocloud.Store.
func (store) Answer(err error) gocloud.Answer {
	var response *azcore.ResponseError
	var refused nonRetriable
	switch {
	case errors.As(err, &response):
		return answer(response)
	case errors.As(err, &refused):
		return gocloud.Answer{Text: "no credentials were found", Advice: "give credentials: AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY, AZURE_CLIENT_ID and so on, or az login"}
	}
	return gocloud.Answer{}
}

func answer(e *azcore.ResponseError) gocloud.Answer {
	a := gocloud.Answer{Status: e.StatusCode, Text: strings.TrimSpace(fmt.Sprint(e.StatusCode, " ", e.ErrorCode)), Advice: refusal(e)}
	if bloberror.Code(e.ErrorCode) == bloberror.BlobAlreadyExists { // Azure's 409 for what is there though it was to be absent
		a.Status = http.StatusPreconditionFailed
	}
	return a
}

// refusal returns what the user can do about an answer that no repetition changes, "" for any other.
func refusal(e *azcore.ResponseError) string {
	switch bloberror.Code(e.ErrorCode) {
	case bloberror.ContainerNotFound, bloberror.ResourceNotFound:
		return "create the container first"
	case bloberror.AuthenticationFailed, bloberror.InvalidAuthenticationInfo:
		return "the credentials are not valid there; see AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY"
	case bloberror.BlobImmutableDueToPolicy, bloberror.InvalidBlobType, bloberror.SnapshotsPresent:
		return "the container holds what cannot be replaced or deleted: use one without immutability policies, snapshots and blobs of other types"
	case bloberror.AccountIsDisabled:
		return "the account is disabled"
	}
	switch e.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "these credentials lack a right: a job reads, writes, lists and deletes below its prefix (the role Storage Blob Data Contributor)"
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return "this store does not know the request"
	}
	return ""
}
