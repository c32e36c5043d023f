package router

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// ErrNotAccepted means that a Gateway has not taken up the route as it is
// written now, so that its weights say nothing about where users go.
var ErrNotAccepted = errors.New("route not accepted")

// gatewayAPI is the provider `gatewayapi:v1`: one HTTPRoute named like the apex
// Service, whose backendRefs carry the weights. It owns the parents, the
// hostnames, and those rules that send traffic to one of the canary's three
// Services; rules for other backends, labels and annotations stay as they are.
type gatewayAPI struct {
	client client.Client
}

// Reconcile rewrites the route from the spec around the weights it carries now:
// editing spec.service in the middle of an analysis must not move a single user.
func (g gatewayAPI) Reconcile(ctx context.Context, c *flaggerv1.Canary) error {
	return g.write(ctx, c, func(live *gatewayv1.HTTPRoute) Weights { return weightsOf(live, c) })
}

// SetWeights writes the whole route with the given weights, so that a route that
// was deleted in between comes back right.
func (g gatewayAPI) SetWeights(ctx context.Context, c *flaggerv1.Canary, w Weights) error {
	return g.write(ctx, c, func(*gatewayv1.HTTPRoute) Weights { return w })
}

// Weights fails with [ErrNotAccepted] while a Gateway that reports on the route
// has not accepted its current generation. Gateways that report nothing are
// taken at their word.
func (g gatewayAPI) Weights(ctx context.Context, c *flaggerv1.Canary) (Weights, error) {
	route, err := g.get(ctx, c)
	if err != nil {
		return Weights{}, err
	}
	if parent, ok := refusedBy(route); ok {
		return Weights{}, fmt.Errorf("%w: HTTPRoute %s by Gateway %s", ErrNotAccepted, client.ObjectKeyFromObject(route), parent)
	}
	return weightsOf(route, c), nil
}

// Finalize does nothing for a route that the canary created, which goes with it.
// One that was there before stays, and must not point at Services that go.
func (g gatewayAPI) Finalize(ctx context.Context, c *flaggerv1.Canary) error {
	route, err := g.get(ctx, c)
	if apierrors.IsNotFound(err) || err == nil && metav1.IsControlledBy(route, c) {
		return nil
	}
	if err != nil {
		return err
	}
	wanted := route.DeepCopy()
	releaseRoute(wanted, c)
	return g.update(ctx, route, wanted)
}

// Objects are the one HTTPRoute.
func (gatewayAPI) Objects(c *flaggerv1.Canary) []Object {
	apex, _, _ := c.ServiceNames()
	return []Object{{gatewayv1.SchemeGroupVersion.WithKind("HTTPRoute"), client.ObjectKey{Namespace: c.Namespace, Name: apex}}}
}

// Supports refuses what an HTTPRoute cannot say.
func (gatewayAPI) Supports(c *flaggerv1.Canary) error {
	if err := refuse("gatewayapi:v1", c); err != nil {
		return err
	}
	return checkRoute(c)
}

func (g gatewayAPI) get(ctx context.Context, c *flaggerv1.Canary) (*gatewayv1.HTTPRoute, error) {
	apex, _, _ := c.ServiceNames()
	route := &gatewayv1.HTTPRoute{}
	if err := g.client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: apex}, route); err != nil {
		return nil, fmt.Errorf("reading HTTPRoute %s/%s: %w", c.Namespace, apex, err)
	}
	return route, nil
}

func (g gatewayAPI) write(ctx context.Context, c *flaggerv1.Canary, weigh func(*gatewayv1.HTTPRoute) Weights) error {
	live, err := g.get(ctx, c)
	if apierrors.IsNotFound(err) {
		return g.create(ctx, c, weigh(nil))
	}
	if err != nil {
		return err
	}
	wanted := live.DeepCopy()
	if err := renderRoute(wanted, c, weigh(live)); err != nil {
		return err
	}
	return g.update(ctx, live, wanted)
}

func (g gatewayAPI) create(ctx context.Context, c *flaggerv1.Canary, w Weights) error {
	apex, _, _ := c.ServiceNames()
	route := &gatewayv1.HTTPRoute{}
	route.Namespace, route.Name = c.Namespace, apex
	route.OwnerReferences = []metav1.OwnerReference{
		*metav1.NewControllerRef(c, flaggerv1.GroupVersion.WithKind(flaggerv1.CanaryKind)),
	}
	if err := renderRoute(route, c, w); err != nil {
		return err
	}
	if err := g.client.Create(ctx, route); err != nil {
		return fmt.Errorf("creating HTTPRoute %s: %w", client.ObjectKeyFromObject(route), err)
	}
	return nil
}

// update writes nothing when nothing changes, and fails with a conflict when
// somebody else wrote in between.
func (g gatewayAPI) update(ctx context.Context, live, wanted *gatewayv1.HTTPRoute) error {
	if equality.Semantic.DeepEqual(live, wanted) {
		return nil
	}
	patch := client.MergeFromWithOptions(live, client.MergeFromWithOptimisticLock{})
	if err := g.client.Patch(ctx, wanted, patch); err != nil {
		return fmt.Errorf("writing HTTPRoute %s: %w", client.ObjectKeyFromObject(wanted), err)
	}
	return nil
}

// refusedBy names a parent of the route that reports on it and has not accepted
// its current generation.
func refusedBy(route *gatewayv1.HTTPRoute) (string, bool) {
	for _, want := range route.Spec.ParentRefs {
		for _, parent := range route.Status.Parents {
			if !equality.Semantic.DeepEqual(parent.ParentRef, want) {
				continue
			}
			for _, condition := range parent.Conditions {
				if condition.Type == string(gatewayv1.RouteConditionAccepted) &&
					(condition.Status != metav1.ConditionTrue || condition.ObservedGeneration < route.Generation) {
					return string(want.Name), true
				}
			}
		}
	}
	return "", false
}
