package sabot

import "errors"

// Kind tells a caller what to do about an error.
type Kind uint8

// The kinds of error.
const (
	Internal Kind = iota // a fault of the engine: report it
	Retry                // passing: the same call may succeed later
	Fenced               // somebody else owns what this process worked on: stop and read again
	Invalid              // the user's input, configuration or code: change it
	Corrupt              // stored bytes are not what was written
)

func (k Kind) String() string {
	return [...]string{"internal", "retry", "fenced", "invalid", "corrupt"}[k]
}

type kindError struct {
	kind Kind
	err  error
}

func (e *kindError) Error() string { return e.err.Error() }
func (e *kindError) Unwrap() error { return e.err }

// WithKind marks err; KindOf finds the outermost mark. A nil err stays nil.
func WithKind(k Kind, err error) error {
	if err == nil {
		return nil
	}
	return &kindError{k, err}
}

// KindOf returns the kind of err: Internal when it carries none.
func KindOf(err error) Kind {
	var e *kindError
	if errors.As(err, &e) {
		return e.kind
	}
	return Internal
}

// Permanent marks an error of a sink's Publish that no retry can mend: the job stops with it.
func Permanent(err error) error { return WithKind(Invalid, err) }
