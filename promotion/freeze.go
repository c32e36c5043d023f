// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// ErrSelector means that a selector of a Freeze cannot be understood.
var ErrSelector = errors.New("invalid selector")

// FreezeSelector says which pipelines a Freeze is about.
type FreezeSelector struct{ pipelines, namespaces labels.Selector }

// ParseFreezeSelector fails with [ErrSelector], naming the field. The selector that it
// returns then is of use all the same: the field that cannot be understood selects
// everything, for a freeze that is wrong must not be one that does nothing.
func ParseFreezeSelector(spec *sluicev1.FreezeSpec) (FreezeSelector, error) {
	pipelines, err := parseSelector("spec.pipelineSelector", spec.PipelineSelector)
	namespaces, alsoErr := parseSelector("spec.namespaceSelector", spec.NamespaceSelector)
	return FreezeSelector{pipelines: pipelines, namespaces: namespaces}, errors.Join(err, alsoErr)
}

func parseSelector(field string, selector *metav1.LabelSelector) (labels.Selector, error) {
	if selector == nil {
		return labels.Everything(), nil
	}
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return labels.Everything(), fmt.Errorf("%w: %s: %w", ErrSelector, field, err)
	}
	return parsed, nil
}

// Selects reports whether the freeze is about a pipeline with these labels, in a namespace
// with those. The labels of the namespace are asked for only if they matter.
func (s FreezeSelector) Selects(pipeline map[string]string, namespace func() (map[string]string, error)) (bool, error) {
	if !s.pipelines.Matches(labels.Set(pipeline)) {
		return false, nil
	}
	if !s.AsksNamespaces() {
		return true, nil
	}
	having, err := namespace()
	return err == nil && s.namespaces.Matches(labels.Set(having)), err
}

// AsksNamespaces reports whether the labels of namespaces matter.
func (s FreezeSelector) AsksNamespaces() bool { return !s.namespaces.Empty() }

// FreezeState says whether a calendar freezes something.
type FreezeState struct {
	// Active means that promotions or rollbacks have to wait.
	Active bool
	// Window that says so.
	Window string
	// Changes is when Active changes next; zero is never, or too far away.
	Changes time.Time
	// NextChange is when any window changes; zero is never.
	NextChange time.Time
}

// Freezes says whether the windows of a Freeze freeze something at an instant, be it
// promotions or rollbacks.
func (c Calendar) Freezes(now time.Time) FreezeState {
	var known frozenEdges
	state := c.freezes(now, &known)
	next := state
	for range maxEdges {
		if next.NextChange.IsZero() {
			return state
		}
		at := next.NextChange
		if next = c.freezes(at, &known); next.Active != state.Active {
			state.Changes = at
			return state
		}
	}
	return state
}

// frozenScopes are what a Freeze may be about.
var frozenScopes = [...]sluicev1.WindowScope{sluicev1.WindowPromotes, sluicev1.WindowRollsBack}

// frozenEdges are how the windows stand, for each scope.
type frozenEdges [len(frozenScopes)][]edge

// freezes computes the state without the time at which Active changes.
func (c Calendar) freezes(now time.Time, known *frozenEdges) FreezeState {
	var state FreezeState
	for i, scope := range frozenScopes {
		known[i] = c.edges(now, scope, known[i])
		opening := c.opening(known[i], scope)
		if !opening.Open && !state.Active {
			state.Active, state.Window = true, opening.Window
		}
		if next := opening.Next; !next.IsZero() && (state.NextChange.IsZero() || next.Before(state.NextChange)) {
			state.NextChange = next
		}
	}
	return state
}
