// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/git/protocol"
	"github.com/sluice-cd/sluice/internal/mask"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// remoteError is what went wrong with a remote, in words that are safe to show
// and with a kind to branch on. The original error is dropped, since it may
// carry credentials.
type remoteError struct {
	kind  error
	text  string
	moved bool // the server leads elsewhere
}

func (e *remoteError) Error() string {
	if e.text == "" {
		return e.kind.Error()
	}
	return e.kind.Error() + ": " + e.text
}

// Unwrap makes the kind, and errMoved, findable.
func (e *remoteError) Unwrap() []error {
	if e.moved {
		return []error{e.kind, errMoved}
	}
	return []error{e.kind}
}

// maxErrorText bounds what of a server's words is repeated.
const maxErrorText = 300

// explain turns an error of a conversation into one of the sentinels.
func (c *connection) explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	var known *remoteError
	if errors.As(err, &known) {
		return err
	}
	if errors.Is(err, budget.ErrTooLarge) || errors.Is(err, budget.ErrExhausted) {
		return err
	}
	kind, cause := kindOf(err), err
	var request *url.Error
	if errors.As(err, &request) {
		cause = request.Err // the URL is named by who asked
	}
	if errors.Is(kind, ErrRefNotFound) {
		return &remoteError{kind: kind} // which one is named by who asked
	}
	text := strings.TrimPrefix(c.redact(cause.Error()), kind.Error())
	return &remoteError{kind: kind, text: strings.TrimPrefix(text, ": "), moved: errors.Is(err, errMoved)}
}

// errRemote is the kind of errors that no caller branches on.
var errRemote = errors.New("the remote answered with an error")

// kinds are the errors that keep their identity.
var kinds = []error{ErrTooMuch, ErrObjectFormat, outbound.ErrForbiddenAddress}

func kindOf(err error) error {
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return kind
		}
	}
	var status *statusError
	if errors.As(err, &status) {
		return status.kind()
	}
	switch {
	case strings.Contains(err.Error(), "not our ref"), errors.Is(err, protocol.ErrNoPack):
		return ErrRefNotFound // a server cuts its answer short when it has no such commit
	case isOutage(err):
		return ErrUnreachable
	}
	return errRemote
}

func (e *statusError) kind() error {
	switch {
	case e.code == http.StatusUnauthorized, e.code == http.StatusForbidden:
		return ErrUnauthorized
	case e.code == http.StatusNotFound, e.code == http.StatusGone:
		return ErrRepositoryNotFound
	case e.code >= http.StatusInternalServerError, e.code == http.StatusTooManyRequests, e.code == http.StatusRequestTimeout:
		return ErrUnreachable // asking again later may help
	}
	return errRemote
}

// isOutage reports whether asking again later may help.
func isOutage(err error) bool {
	var network net.Error
	var request *url.Error
	return errors.As(err, &network) || errors.As(err, &request) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// redact makes a text fit to be shown: one bounded line without credentials,
// which a server may well repeat.
func (c *connection) redact(text string) string {
	return summary(c.conceal(text), maxErrorText)
}

// conceal leaves out credentials, however they are written.
func (c *connection) conceal(text string) string { return mask.New(c.hidden()...).Text(text) }

// summary is a text in one line of at most so many bytes.
func summary(text string, limit int) string {
	text = string(bytes.ToValidUTF8([]byte(strings.Join(strings.Fields(text), " ")), nil))
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "..."
	}
	return text
}
