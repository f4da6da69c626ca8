package gcs

import (
	"errors"
	"net/http"

	"cloud.google.com/go/storage"
	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"

	"github.com/sabot-stream/sabot/objstore/internal/gocloud"
)

// Answer implements gocloud.Store. The codes of package gocloud.dev/gcerrors do not do: they call a refused right a missing object.
func (store) Answer(err error) gocloud.Answer {
	var api *googleapi.Error
	var token *oauth2.RetrieveError
	switch {
	case errors.Is(err, errNoGeneration):
		return gocloud.Answer{Status: http.StatusPreconditionFailed}
	case errors.Is(err, storage.ErrObjectNotExist):
		return gocloud.Answer{Status: http.StatusNotFound}
	case errors.Is(err, storage.ErrBucketNotExist):
		return gocloud.Answer{Status: http.StatusNotFound, Advice: noBucket}
	case errors.As(err, &api):
		return answer(api)
	case errors.As(err, &token) && token.Response != nil && token.Response.StatusCode < http.StatusInternalServerError:
		return gocloud.Answer{Status: token.Response.StatusCode, Advice: badCredentials}
	}
	return gocloud.Answer{}
}

const (
	noBucket       = "create the bucket first"
	badCredentials = "the credentials are not valid; see GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login"
)

func answer(e *googleapi.Error) gocloud.Answer {
	a := gocloud.Answer{Status: e.Code}
	switch e.Code {
	case http.StatusUnauthorized:
		a.Advice = badCredentials
	case http.StatusNotFound: // of an object it is storage.ErrObjectNotExist
		a.Advice = noBucket
	case http.StatusForbidden:
		for _, item := range e.Errors {
			if item.Reason == "rateLimitExceeded" || item.Reason == "userRateLimitExceeded" {
				return gocloud.Answer{Status: http.StatusTooManyRequests}
			}
		}
		a.Advice = "these credentials lack a right: a job reads, writes, lists and deletes below its prefix (the role Storage Object User)"
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		a.Advice = "this store does not know the request"
	}
	return a
}
