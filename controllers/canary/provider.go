package canary

import (
	"context"
	"errors"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
)

// route is what routes the users of a canary.
func (r *Reconciler) route(c *flaggerv1.Canary) (router.Router, error) {
	return r.routeBy(c, r.live, r.mesh)
}

func (r *Reconciler) routeBy(c *flaggerv1.Canary, here, mesh client.Client) (router.Router, error) {
	deps := router.Deps{Client: here, IngressClass: r.IngressClass, IngressAnnotations: r.IngressAnnotations, OwnNamespace: r.NoCrossNamespaceRefs}
	if r.routesAbroad(c) {
		deps.Client, deps.Foreign = mesh, true
	}
	return router.New(provider.Of(c, r.Provider).Name, deps)
}

// rehearsedWeights are those that make a router write all rules that it ever does.
var rehearsedWeights = provider.Split(50)

// rehearse has the API server check the routes of a canary that is new, before
// anything is made for it: what it refuses then is no longer a surprise on the day of
// a release. Whatever else goes wrong is found out again, and said, later.
func (r *Reconciler) rehearse(ctx context.Context, c *flaggerv1.Canary) error {
	if c.Status.Phase != "" && c.Status.Phase != flaggerv1.CanaryPhaseInitializing {
		return nil
	}
	if checked, ok := r.rehearsed.Load(c.UID); ok && checked == c.Generation {
		return nil
	}
	routes, err := r.routeBy(c, r.dry, r.dryMesh)
	if err != nil {
		return err
	}
	for _, w := range []provider.Weights{provider.Stable, rehearsedWeights} {
		if err := routes.SetWeights(ctx, c, w); errors.Is(err, reconcile.TerminalError(nil)) {
			return err
		}
	}
	r.rehearsed.Store(c.UID, c.Generation)
	return nil
}

// routesAbroad reports whether the routes of a canary are in the cluster of the mesh.
func (r *Reconciler) routesAbroad(c *flaggerv1.Canary) bool {
	return r.mesh != nil && provider.Of(c, r.Provider).Cluster == provider.OfMesh
}

// settle gives a canary that names no provider, in memory, the one that its release
// began under. The controller's default may be another by now, which knows nothing
// of the routes that users are on.
func settle(c *flaggerv1.Canary) {
	if c.Spec.Provider == "" {
		c.Spec.Provider = c.Status.Provider
	}
}

// keepProvider notes for settle what routes a release, until it ends.
func (r *Reconciler) keepProvider(c *flaggerv1.Canary) {
	before := c.Status.Provider
	c.Status.Provider = ""
	switch defaulted := provider.Of(c, "").Name == ""; {
	case !c.Status.UnderWay():
	case before != "":
		c.Status.Provider = before
	case defaulted:
		c.Status.Provider = r.Provider
	}
}

// noteRouting notes which routes are about to be written. Those of before stay noted
// under a provider that has none: they still lead users.
func (r *Reconciler) noteRouting(c *flaggerv1.Canary, routes router.Router) {
	if len(routes.Objects(c)) > 0 {
		c.Status.Routing = c.RoutingBy(provider.Of(c, r.Provider).Name)
	}
}
