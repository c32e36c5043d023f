// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
)

// objectError is an error about one object.
type objectError struct {
	id inventory.ID
	error
}

func (e objectError) Unwrap() error { return e.error }

// Failed returns the objects that an error of an apply is about, in the order in which it
// tells of them.
func Failed(err error) (ids []inventory.ID) {
	if about, ok := err.(objectError); ok { //nolint:errorlint // each level is looked at
		return []inventory.ID{about.id}
	}
	switch inner := err.(type) { //nolint:errorlint // each level is looked at
	case interface{ Unwrap() []error }:
		for _, err := range inner.Unwrap() {
			ids = append(ids, Failed(err)...)
		}
	case interface{ Unwrap() error }:
		return Failed(inner.Unwrap())
	}
	return ids
}

// explain says what is wrong with which object, and what would help.
func (a *applier) explain(o *object, err error) error {
	return objectError{o.id, a.explained(o, err)}
}

// wrongType is how the API server says that a value has another type than its field. It
// quotes the value as its own code writes it.
var wrongType = regexp.MustCompile(`expected string, got &value\.valueUnstructured\{Value:([^{}]*)\}`)

// quotedError says what to write in place of a number or a boolean: YAML makes one of 8080
// and of yes.
type quotedError struct{ error }

func (e quotedError) Error() string {
	return wrongType.ReplaceAllString(e.error.Error(), `expected string, got $1: write it `+InQuotes+`, as "$1"`)
}

// InQuotes is in errors about values that have to be strings and are something else.
const InQuotes = "in quotes"

func (e quotedError) Unwrap() error { return e.error }

func (a *applier) explained(o *object, err error) error {
	profile := a.set.engine.profile
	subject, was, immutable, instead := o.id.Subject(), err, errors.Is(err, ErrImmutable), ""
	if told := (immutableError{}); errors.As(err, &told) && len(told.others) > 0 {
		instead = "; or, if the refusal is about fields that others have added (" + strings.Join(told.others, ", ") + "), remove those"
	}
	if lacksNamespace(err) {
		return fmt.Errorf("%s apply failed: %w: create it, or add it to the manifests", subject, err)
	} else if o.isSecret() {
		err = discreet(err)
	} else if wrongType.MatchString(err.Error()) {
		err = quotedError{err}
	}
	shared := sharedError{}
	switch {
	case errors.Is(err, ErrTerminating):
		return fmt.Errorf("%s %w", subject, err)
	case errors.As(was, &shared):
		return fmt.Errorf("%s apply failed with fields that others have added (%s): %w; remove those, or set %s, or annotate the object "+
			"with %s: %s, to recreate it without them",
			subject, strings.Join(shared.others, ", "), err, profile.ForceField, profile.ForceKey, decide.Enabled)
	case immutable:
		return fmt.Errorf("%s apply failed, %w: %w; set %s, or annotate the object with %s: %s, to recreate it%s",
			subject, ErrImmutable, err, profile.ForceField, profile.ForceKey, decide.Enabled, instead)
	case apierrors.IsForbidden(err) && a.set.identity != Impersonation{}:
		return fmt.Errorf("%s apply failed as %s: %w", subject, a.set.identity.user(), err)
	}
	return fmt.Errorf("%s apply failed: %w", subject, err)
}

// lacksNamespace reports whether the namespace of an object is not there.
func lacksNamespace(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Kind == "namespaces" && details.Group == ""
}

// wrongField finds the key of a Secret that has a value of another type, without the value;
// maxSecretFields is how many are named.
var wrongField = regexp.MustCompile(`\.(?:data|stringData)\.[-._a-zA-Z0-9]+: expected string`)

const maxSecretFields = 10

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
	about = append(about, wrongField.FindAllString(s.Message, maxSecretFields)...)
	if wrongType.MatchString(s.Message) {
		about = append(about, "write numbers and booleans "+InQuotes)
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
