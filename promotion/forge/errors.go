// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// What callers branch on.
var (
	// ErrNotFound means that there is no such pull request, or none that the credential
	// may see: forges do not tell the two apart.
	ErrNotFound = errors.New("not found, or not visible with this credential")
	// ErrHeadMoved means that the branch has another head than the one that was judged.
	ErrHeadMoved = errors.New("the head of the pull request moved")
	// ErrExists means that the branch has an open pull request into this base.
	ErrExists = errors.New("there is an open pull request of this branch")
	// ErrNothingToMerge means that the branch has no commit that its base has not.
	ErrNothingToMerge = errors.New("the branch has no commits that its base has not")
	// ErrMergeableNow means that auto-merge has nothing to wait for: merge it.
	ErrMergeableNow = errors.New("the pull request can be merged now, so that auto-merge has nothing to wait for")
	// ErrInvalid means that the object that names the forge has to be changed.
	ErrInvalid = errors.New("invalid configuration")
	// errURL is the [ErrInvalid] of a GitRepository whose URL is not that of a repository at
	// the forge.
	errURL = fmt.Errorf("%w: the URL of the repository", ErrInvalid)
)

// NotMergeable is the refusal of a merge.
type NotMergeable struct {
	Reason string // in the words of the forge
	// Transient means that waiting may help, without a change of branch or rules.
	Transient bool
}

// Error implements error.
func (e *NotMergeable) Error() string { return "not mergeable: " + e.Reason }

// NotReopened means that a closed pull request stays closed; open another one.
type NotReopened struct{ Reason string }

// Error implements error.
func (e *NotReopened) Error() string { return "cannot be reopened: " + e.Reason }

// Unauthorized means that a forge does not accept the credential, or not for this. It
// is final until the Secret or the rights change.
type Unauthorized struct {
	Host string
	// Keys are the keys of the Secret that were used.
	Keys []string
	// Needs is what the credential must be allowed to do.
	Needs  string
	Reason string // in the words of the forge
}

// Error implements error.
func (e *Unauthorized) Error() string {
	text := fmt.Sprintf("%s refuses the credential from %s of the Secret", e.Host, strings.Join(e.Keys, ", "))
	if len(e.Keys) == 0 {
		text = e.Host + " refuses requests without a credential"
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	if e.Needs != "" {
		text += " (it needs " + e.Needs + ")"
	}
	return text
}

// RateLimited means that the forge wants to be left alone until a time, or that as
// much was written as it allows.
type RateLimited struct {
	Host  string
	Until time.Time
}

// Error implements error. It does not say until when: each attempt would say
// something else, and every change of a condition is a write and an event.
func (e *RateLimited) Error() string {
	return e.Host + " limits the rate of requests, and is asked again when it allows"
}

// Unsupported means that a forge cannot do something. It is final.
type Unsupported struct{ Provider, What string }

// Error implements error.
func (e *Unsupported) Error() string {
	return fmt.Sprintf("provider %s does not support %s", e.Provider, e.What)
}

// Terminal reports whether trying again cannot help until somebody changes the
// object, its Secret or the rights of the credential.
func Terminal(err error) bool {
	var unauthorized *Unauthorized
	var unsupported *Unsupported
	return errors.As(err, &unauthorized) || errors.As(err, &unsupported) || errors.Is(err, ErrInvalid)
}

// Declined reports whether a forge understood the request and declined it for what it
// says, so that the same request is declined again.
func Declined(err error) bool {
	answered := refusal(err)
	return answered != nil && answered.final()
}

// statusError is an answer of a forge that is no success. Drivers translate those
// that they understand; what remains is temporary.
type statusError struct {
	host    string
	code    int
	message string // what the body says, masked; may be empty
}

// Error implements error.
func (e *statusError) Error() string {
	text := fmt.Sprintf("%s answers with status %d", e.host, e.code)
	if e.message != "" {
		text += ": " + e.message
	}
	return text
}

// final reports whether the request was understood and declined, for reasons other
// than rights.
func (e *statusError) final() bool {
	switch e.code {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusConflict, http.StatusPreconditionFailed,
		http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// refusal returns the answer with which a forge refused a request, or nil if the
// error is something else.
func refusal(err error) *statusError {
	var answered *statusError
	if errors.As(err, &answered) {
		return answered
	}
	return nil
}

// answeredWith reports whether the error is an answer with one of the status codes.
func answeredWith(err error, codes ...int) bool {
	answered := refusal(err)
	return answered != nil && slices.Contains(codes, answered.code)
}

// mentions reports whether the refusal holds one of the texts, in any case.
func (e *statusError) mentions(texts ...string) bool {
	message := strings.ToLower(e.message)
	for _, text := range texts {
		if strings.Contains(message, strings.ToLower(text)) {
			return true
		}
	}
	return false
}

// brief is an error without the URL of the API that net/http puts before it.
func brief(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
