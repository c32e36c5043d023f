package canary

import (
	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/router"
)

// route is what routes the users of a canary.
func (r *Reconciler) route(c *flaggerv1.Canary) (router.Router, error) {
	deps := router.Deps{Client: r.live, IngressClass: r.IngressClass, IngressAnnotations: r.IngressAnnotations}
	if r.routesAbroad(c) {
		deps.Client, deps.Foreign = r.mesh, true
	}
	return router.New(canary.ProviderOf(c, r.limits()), deps)
}

// routesAbroad reports whether the routes of a canary are in the cluster of the mesh.
func (r *Reconciler) routesAbroad(c *flaggerv1.Canary) bool {
	return r.mesh != nil && !router.Local(canary.ProviderOf(c, r.limits()))
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
	switch defaulted := canary.ProviderOf(c, canary.Limits{}) == ""; {
	case !c.Status.UnderWay():
	case before != "":
		c.Status.Provider = before
	case defaulted:
		c.Status.Provider = r.Provider
	}
}
