// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"errors"
	"fmt"
	"net"
	"net/http"
)

// fields are those that a measurement depends on; one that is empty is named elsewhere.
type fields struct{ address, secret, query string }

// withField adds to what a server answered, or did not, the field that it is most likely about.
func (f fields) withField(err error) error {
	field := f.ofError(err)
	if field == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, field)
}

func (f fields) ofError(err error) string {
	var answered statusError
	var network net.Error
	switch {
	case errors.As(err, &answered):
		return f.ofStatus(answered.status)
	case errors.As(err, &network):
		return f.address
	case errors.Is(err, ErrManySeries), errors.Is(err, ErrInfinite):
		return f.query
	default:
		return ""
	}
}

func (f fields) ofStatus(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return f.secret
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return f.query
	default:
		return f.address
	}
}
