// SPDX-License-Identifier: Apache-2.0

package router

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// gatewayAPI is the provider `gatewayapi`: one HTTPRoute or GRPCRoute whose
// backendRefs carry the weights. The versions v1 and v1beta1 are two views of the
// same objects, so one implementation serves both.
//
// A route that is made is named like the apex Service. Its parents, hostnames and
// the rules for the canary's three Services are the canary's; rules for other
// backends, and metadata of others, stay as they are. Of a route that the owner
// brings (spec.httpRouteRef) only backends are the canary's, see [renderOwn].
//
// Server-side apply of the weights alone is not possible: parentRefs, hostnames,
// rules and backendRefs are atomic lists in the CRDs, so whoever applies one
// weight owns every rule, and takes those of others away. So the live list is
// read, edited as JSON, so that fields of a newer API survive, and patched with an
// optimistic lock: a write of somebody else in between is a conflict, and the
// whole is computed again from what they wrote.
type gatewayAPI struct {
	Deps
	provider, version string
}

func newGatewayAPI(version string) func(Deps) Router {
	return func(d Deps) Router { return gatewayAPI{d, "gatewayapi:" + version, version} }
}

// Reconcile rewrites the route from the spec around the weights it carries now:
// editing spec.service in the middle of an analysis must not move a single user.
// A route that sends nobody anywhere sends everybody to the primary.
func (g gatewayAPI) Reconcile(ctx context.Context, c *flaggerv1.Canary) error {
	return g.render(ctx, c, func(live []rule) provider.Weights {
		if w := weightsOf(live, c); w.Primary+w.Canary > 0 {
			return w
		}
		return provider.ToPrimary
	})
}

// SetWeights writes the whole route with the given weights, so that a route that
// was deleted in between comes back right.
func (g gatewayAPI) SetWeights(ctx context.Context, c *flaggerv1.Canary, w provider.Weights) error {
	return g.render(ctx, c, func([]rule) provider.Weights { return w })
}

// Weights fails with [ErrNotAccepted] while a Gateway that reports on the route
// has not accepted its current generation. Gateways that report nothing are
// taken at their word.
func (g gatewayAPI) Weights(ctx context.Context, c *flaggerv1.Canary) (provider.Weights, error) {
	route, err := g.read(ctx, g.object(c))
	if err != nil {
		return provider.Weights{}, err
	}
	if refused := unaccepted(route); refused != nil {
		return provider.Weights{}, refused
	}
	return weightsOf(rulesOf(route), c), nil
}

// Finalize does nothing for a route that the canary created, which goes with it.
// One that was there before stays, and must not point at Services that go.
func (g gatewayAPI) Finalize(ctx context.Context, c *flaggerv1.Canary) error {
	route, err := g.read(ctx, g.object(c))
	if apierrors.IsNotFound(err) || errors.Is(err, ErrNotInstalled) || err == nil && g.needsNoHandBack(route, c) {
		return nil
	}
	if err != nil {
		return err
	}
	return g.write(ctx, c, g.object(c), func(route *unstructured.Unstructured) error {
		if c.Spec.HTTPRouteRef != nil {
			return releaseOwn(route, c)
		}
		return releaseRoute(route, c)
	})
}

// Objects are the one route.
func (g gatewayAPI) Objects(c *flaggerv1.Canary) []object.Ref { return []object.Ref{g.object(c)} }

// object names the route: the owner's, or the one that is made.
func (g gatewayAPI) object(c *flaggerv1.Canary) object.Ref {
	kind, name := provider.Route(c, g.version)
	return object.NewRef(kind, c.Namespace, name)
}

// render writes the route with the weights that weigh makes of its live rules.
func (g gatewayAPI) render(ctx context.Context, c *flaggerv1.Canary, weigh func([]rule) provider.Weights) error {
	return g.write(ctx, c, g.object(c), func(route *unstructured.Unstructured) error {
		w := weigh(rulesOf(route))
		if c.Spec.HTTPRouteRef != nil {
			return renderOwn(route, c, w)
		}
		if route.GetResourceVersion() == "" {
			if err := g.checkNoOtherKind(ctx, c); err != nil {
				return err
			}
		}
		return renderRoute(route, c, w)
	})
}

// checkNoOtherKind fails while a route of the other kind that was made before is there: of
// two routes for one host, Gateways refuse the younger.
func (g gatewayAPI) checkNoOtherKind(ctx context.Context, c *flaggerv1.Canary) error {
	other := provider.GRPCRoute
	if provider.KindOfRoute(c) == provider.GRPCRoute {
		other = provider.HTTPRoute
	}
	o := g.object(c)
	before, err := g.read(ctx, object.NewRef(provider.RouteOf(other, g.version), o.Namespace, o.Name))
	switch {
	case apierrors.IsNotFound(err) || errors.Is(err, ErrNotInstalled):
		return nil
	case err != nil:
		return err
	case metav1.IsControlledBy(before, c):
		return fmt.Errorf("%s %s was made for this Canary before; delete it to get a %s", other, o.NamespacedName, o.Kind)
	default:
		return nil
	}
}
