// SPDX-License-Identifier: Apache-2.0

package router

import (
	"context"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// services is the provider `kubernetes`. A Service cannot split traffic, so
// there are no route objects: the apex Service selects the primary throughout,
// the canary is tested behind its own Service, and promotion replaces the
// primary's pods. Only blue/green analyses fit that.
type services struct{}

// Reconcile does nothing: the Services are the workload's business.
func (services) Reconcile(context.Context, *flaggerv1.Canary) error { return nil }

// Weights always finds every user on the primary.
func (services) Weights(context.Context, *flaggerv1.Canary) (provider.Weights, error) {
	return provider.ToPrimary, nil
}

// SetWeights does nothing: there is nothing that could carry a weight.
func (services) SetWeights(context.Context, *flaggerv1.Canary, provider.Weights) error { return nil }

// Finalize does nothing.
func (services) Finalize(context.Context, *flaggerv1.Canary) error { return nil }

// Objects are none.
func (services) Objects(*flaggerv1.Canary) []object.Ref { return nil }

// Supports refuses what would need a router. Whoever calls a Service that is a
// target gets the new version at once, unless something routes around it.
func (services) Supports(c *flaggerv1.Canary) error {
	if c.Spec.TargetRef.Kind == "Service" {
		return terminal("spec.provider: kubernetes cannot keep users of a Service from what it leads to; name a provider that routes")
	}
	return nil
}
