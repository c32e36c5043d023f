// SPDX-License-Identifier: Apache-2.0

package canary

import (
	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// Action changes the cluster. All are absolute: they say what shall be, never by
// how much to change what is.
type Action interface{ action() }

type (
	// EnsureServices makes the Services of the primary and of the canary.
	EnsureServices struct{}
	// EnsureApex makes the Service that users call select the primary.
	EnsureApex struct{}
	// EnsureRoute makes the route objects, and leaves their weights alone.
	EnsureRoute struct{}
	// SetWeights says where users go.
	SetWeights struct{ provider.Weights }
	// TakeOff takes all users off the canary, and leaves the rest of the routes as it is.
	TakeOff struct{}
	// Snapshot keeps the target's revision, which is this one, for later.
	Snapshot struct{ Revision string }
	// SetPrimary gives the primary exactly this revision, and creates it if it
	// is missing.
	SetPrimary struct{ Revision string }
	// StartTarget scales the target up if it has no pods.
	StartTarget struct{}
	// StopTarget scales the target to zero.
	StopTarget struct{}
	// Prune forgets the snapshots of all other revisions.
	Prune struct{ Keep []string }
	// EnsureScaler keeps the primary's autoscaler in step with the owner's, and
	// the owner's from scaling a target that was scaled to zero. An autoscaler that
	// an earlier spec asked for is deleted.
	EnsureScaler struct{}
	// Notify calls the webhooks of a type whose answers decide nothing.
	Notify struct{ Hook flaggerv1.HookType }
)

func (EnsureServices) action() {}
func (EnsureApex) action()     {}
func (EnsureRoute) action()    {}
func (SetWeights) action()     {}
func (TakeOff) action()        {}
func (Snapshot) action()       {}
func (SetPrimary) action()     {}
func (StartTarget) action()    {}
func (StopTarget) action()     {}
func (Prune) action()          {}
func (EnsureScaler) action()   {}
func (Notify) action()         {}
