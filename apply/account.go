// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// ErrNoAccount marks what was refused to a service account that does not exist. The API
// server lets anyone impersonate it, and refuses whatever it asks for, object by object.
var ErrNoAccount = errors.New("does not exist")

// AccountExists reports whether an identity can be assumed. The controller itself asks:
// the account has no say in it.
func (e *Engine) AccountExists(ctx context.Context, as Impersonation) (bool, error) {
	if as == (Impersonation{}) {
		return true, nil
	}
	c, err := e.clients.identity(Impersonation{})
	if err != nil {
		return false, err
	}
	err = c.rest.Get().AbsPath("api", "v1", "namespaces", as.Namespace, "serviceaccounts", as.ServiceAccount).Do(ctx).Error()
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case apierrors.IsForbidden(err): // of another cluster this may not be read; a request as the account will show it
		return true, nil
	case err != nil:
		return false, fmt.Errorf("looking for ServiceAccount %s/%s: %w", as.Namespace, as.ServiceAccount, err)
	}
	return true, nil
}

// missing is an error that is [ErrNoAccount] when there is no such service account, and
// nil when there is one, or when that is not known: the refusal of the API server is the
// error then.
func (e *Engine) missing(ctx context.Context, as Impersonation) error {
	if exists, err := e.AccountExists(ctx, as); exists || err != nil {
		return nil
	}
	return fmt.Errorf("ServiceAccount %s/%s %w: create it, or name another one in %s",
		as.Namespace, as.ServiceAccount, ErrNoAccount, e.profile.ServiceAccountField)
}

// refused explains the errors of requests in the name of an identity, none of which was
// allowed: those that were forbidden to a service account which does not exist have one
// reason, told once. Where some were allowed, a role binding is older than its account.
func (e *Engine) refused(ctx context.Context, as Impersonation, errs []error) error {
	var others []error
	for _, err := range errs {
		if err != nil && !apierrors.IsForbidden(err) {
			others = append(others, err)
		}
	}
	all := errors.Join(errs...)
	if !apierrors.IsForbidden(all) {
		return all
	}
	if missing := e.missing(ctx, as); missing != nil {
		return errors.Join(append([]error{missing}, others...)...)
	}
	return all
}
