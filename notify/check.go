// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"errors"
	"fmt"
	"net/url"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
)

// What [Check] finds. Only an edit of the Receiver cures it.
var (
	// ErrInvalid means: a field is missing, or has a value that nobody knows.
	ErrInvalid = errors.New("invalid receiver")
	// ErrExpression means: a CEL expression cannot be compiled, or is not of the
	// type that it must be of.
	ErrExpression = errors.New("invalid expression")
)

// Check finds what makes a Receiver useless until somebody edits it: an unknown
// type, a missing Secret, an expression that is none. The error is [ErrInvalid]
// or [ErrExpression] and names the field.
func Check(receiver *notificationv1.Receiver) error {
	known, ok := senders[receiver.Spec.Type]
	if !ok {
		return fmt.Errorf("%w: spec.type: %q is not a type of receiver", ErrInvalid, receiver.Spec.Type)
	}
	switch hasSecret := receiver.Spec.SecretRef != nil; {
	case known.tokenless && hasSecret:
		return fmt.Errorf("%w: spec.secretRef: a receiver of type %s has none", ErrInvalid, receiver.Spec.Type)
	case !known.tokenless && !hasSecret:
		return fmt.Errorf("%w: spec.secretRef: a receiver of type %s needs one", ErrInvalid, receiver.Spec.Type)
	}
	if err := checkExpressions(receiver); err != nil {
		return err
	}
	return errors.Join(checkProviders(receiver, known), checkResources(receiver, known))
}

func checkResources(receiver *notificationv1.Receiver, known sender) error {
	if text := receiver.Spec.ResourceFilter; text != "" {
		if _, err := filterOf(text, known.claims()).compile(); err != nil {
			return fmt.Errorf("%w: spec.resourceFilter: %w", ErrExpression, err)
		}
	}
	for i, resource := range receiver.Spec.Resources {
		if resource.Filter != "" {
			if _, err := filterOf(resource.Filter, known.claims()).compile(); err != nil {
				return fmt.Errorf("%w: spec.resources[%d].filter: %w", ErrExpression, i, err)
			}
		}
		if _, err := KindOf(resource); err != nil {
			return fmt.Errorf("%w: spec.resources[%d]: %w", ErrInvalid, i, err)
		}
		if resource.Name == "*" && resource.MatchLabels == nil {
			return fmt.Errorf("%w: spec.resources[%d]: matchLabels must be set when the name is '*'", ErrInvalid, i)
		}
	}
	return nil
}

func checkProviders(receiver *notificationv1.Receiver, known sender) error {
	providers := receiver.Spec.OIDCProviders
	switch {
	case known.tokenless && len(providers) == 0:
		return fmt.Errorf("%w: spec.oidcProviders: at least one is needed", ErrInvalid)
	case !known.tokenless && len(providers) > 0:
		return fmt.Errorf("%w: spec.oidcProviders: a receiver of type %s has none", ErrInvalid, receiver.Spec.Type)
	}
	seen := map[string]bool{}
	for i := range providers {
		p := &providers[i]
		if u, err := url.Parse(p.IssuerURL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || seen[p.IssuerURL] {
			return fmt.Errorf("%w: spec.oidcProviders[%d].issuerURL: must be an https URL, and there only once", ErrInvalid, i)
		}
		seen[p.IssuerURL] = true
		if err := checkProvider(p); err != nil {
			return fmt.Errorf("spec.oidcProviders[%d]: %w", i, err)
		}
	}
	return nil
}

func checkProvider(p *notificationv1.OIDCProvider) error {
	if len(p.Validations) == 0 {
		return fmt.Errorf("%w: validations: at least one is required: anybody can get a token of a public issuer", ErrInvalid)
	}
	names := map[string]bool{}
	for _, v := range p.Variables {
		if v.Name == "" || names[v.Name] {
			return fmt.Errorf("%w: variables: each has a name of its own, and '%s' has not", ErrInvalid, v.Name)
		}
		names[v.Name] = true
		if _, err := variable(v.Expression).compile(); err != nil {
			return fmt.Errorf("%w: variable %s: %w", ErrExpression, v.Name, err)
		}
	}
	for i, v := range p.Validations {
		if v.Message == "" {
			return fmt.Errorf("%w: validations[%d].message: is required", ErrInvalid, i)
		}
		if _, err := validation(v.Expression).compile(); err != nil {
			return fmt.Errorf("%w: validations[%d]: %w", ErrExpression, i, err)
		}
	}
	return nil
}

// Ineffective is a warning about a field of a Receiver that has no effect, "" without one.
// It is not refused, since Flux accepts it.
func Ineffective(receiver *notificationv1.Receiver) string {
	if len(receiver.Spec.Events) > 0 && !senders[receiver.Spec.Type].events {
		return fmt.Sprintf("spec.events has no effect: a receiver of type %s does not tell events apart; use spec.resourceFilter",
			receiver.Spec.Type)
	}
	return ""
}
