// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/apply/decide"
)

// explain says what is wrong with which object, and what would help.
func (a *applier) explain(o *object, err error) error {
	profile := a.set.engine.profile
	subject, immutable := o.id.Subject(), errors.Is(err, ErrImmutable)
	if o.isSecret() {
		err = discreet(err)
	}
	switch {
	case errors.Is(err, ErrTerminating):
		return fmt.Errorf("%s %w", subject, err)
	case immutable:
		return fmt.Errorf("%s apply failed, %w: %w; set %s, or annotate the object with %s: %s, to recreate it",
			subject, ErrImmutable, err, profile.ForceField, profile.ForceKey, decide.Enabled)
	case apierrors.IsForbidden(err) && a.set.identity != Identity{}:
		return fmt.Errorf("%s apply failed as %s: %w", subject, a.set.identity.user(), err)
	}
	return fmt.Errorf("%s apply failed: %w", subject, err)
}

// discreet is an error about a Secret without the API server's words, which may
// quote its values: only the reason, and the fields it is about.
func discreet(err error) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return err
	}
	s := status.Status()
	about := []string{string(s.Reason)}
	if s.Reason == metav1.StatusReasonUnknown {
		about[0] = fmt.Sprintf("the API server answered %d", s.Code)
	}
	if s.Details != nil {
		for _, cause := range s.Details.Causes {
			if cause.Type != metav1.CauseTypeUnexpectedServerResponse {
				about = append(about, cause.Field+": "+string(cause.Type))
			}
		}
	}
	hidden := discreetError{text: strings.Join(about, ", "), status: s}
	if errors.Is(err, ErrImmutable) {
		hidden.text += ": a field is immutable"
	}
	return hidden
}

// discreetError keeps the machine-readable part of an API error.
type discreetError struct {
	text   string
	status metav1.Status
}

func (e discreetError) Error() string { return e.text + " (details hidden: it is a Secret)" }

// Status implements apierrors.APIStatus.
func (e discreetError) Status() metav1.Status { return e.status }
