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

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// remoteError is what went wrong with a remote, in words that are safe to show
// and with a kind to branch on. The original error is dropped, since it may
// carry credentials.
type remoteError struct {
	kind error
	text string
}

func (e *remoteError) Error() string {
	if e.text == "" {
		return e.kind.Error()
	}
	return e.kind.Error() + ": " + e.text
}

func (e *remoteError) Unwrap() error { return e.kind }

// maxErrorText bounds what of a server's words is repeated.
const maxErrorText = 300

// explain turns an error of the transport into one of the sentinels.
func (c *connection) explain(err error) error {
	err = unwrapped(err)
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	var known *remoteError
	if errors.As(err, &known) {
		return err
	}
	return &remoteError{kind: kindOf(err), text: c.redact(err.Error())}
}

// unwrapped looks into the library's wrappers, which errors.Is cannot.
func unwrapped(err error) error {
	var unexpected *plumbing.UnexpectedError
	if errors.As(err, &unexpected) {
		return unexpected.Err
	}
	var permanent *plumbing.PermanentError
	if errors.As(err, &permanent) {
		return permanent.Err
	}
	return err
}

// errRemote is the kind of errors that no caller branches on.
var errRemote = errors.New("the remote answered with an error")

func kindOf(err error) error {
	switch {
	case errors.Is(err, ErrTooMuch):
		return ErrTooMuch
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed):
		return ErrUnauthorized
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return ErrRepositoryNotFound
	case strings.Contains(err.Error(), "not our ref"), errors.Is(err, transport.ErrEmptyUploadPackRequest):
		return ErrRefNotFound // a server cuts its answer short when it has no such commit
	case isOutage(err):
		return ErrUnreachable
	}
	return errRemote
}

// isOutage reports whether asking again later may help.
func isOutage(err error) bool {
	var status *githttp.Err
	if errors.As(err, &status) {
		return status.StatusCode() >= http.StatusInternalServerError || status.StatusCode() == http.StatusTooManyRequests
	}
	var network net.Error
	var request *url.Error
	return errors.As(err, &network) || errors.As(err, &request) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF)
}

// redact makes a text fit to be shown: one bounded line without credentials,
// which a server may well repeat.
func (c *connection) redact(text string) string {
	for _, secret := range c.hidden() {
		text = strings.ReplaceAll(text, secret, "***")
	}
	text = string(bytes.ToValidUTF8([]byte(strings.Join(strings.Fields(text), " ")), nil))
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "..."
	}
	return text
}
