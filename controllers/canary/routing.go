// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"errors"
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
)

// clients are those of the two clusters; mesh is nil if the mesh has none of its own.
type clients struct{ workload, mesh client.Client }

// routing chooses what routes the users of a canary.
type routing struct {
	// defaultProvider is that of canaries that name none.
	defaultProvider string
	// deps are without their Client.
	deps router.Deps
	// live clients write; those of dryRun have writes checked, and perform none.
	live, dryRun clients
}

// providerOf names the provider of a canary.
func (r *routing) providerOf(c *flaggerv1.Canary) string {
	return provider.ForCanary(c, r.defaultProvider).Name
}

// clusterOf is where the routes of a canary are.
func (r *routing) clusterOf(c *flaggerv1.Canary) clusterName {
	if r.live.mesh != nil && provider.ForCanary(c, r.defaultProvider).Cluster == provider.OfMesh {
		return meshCluster
	}
	return workloadCluster
}

// routerOf writes the routes of a canary.
func (r *routing) routerOf(c *flaggerv1.Canary) (router.Router, error) {
	return r.routerWith(c, r.live)
}

func (r *routing) routerWith(c *flaggerv1.Canary, with clients) (router.Router, error) {
	deps := r.deps
	deps.Client = with.workload
	if r.clusterOf(c) == meshCluster {
		deps.Client, deps.Foreign = with.mesh, true
	}
	return router.New(r.providerOf(c), deps)
}

// objects are the route objects of a canary.
func (r *routing) objects(c *flaggerv1.Canary, routes router.Router) []clusterRef {
	var objects []clusterRef
	for _, object := range routes.Objects(c) {
		objects = append(objects, clusterRef{clusterKind{object.GroupVersionKind, r.clusterOf(c)}, object.NamespacedName})
	}
	return objects
}

// restoreProvider gives a canary that names no provider, in memory, the one that its
// release began under. The controller's default may be another by now, which knows
// nothing of the routes that users are on.
func restoreProvider(c *flaggerv1.Canary) {
	if c.Spec.Provider == "" {
		c.Spec.Provider = c.Status.Provider
	}
}

// noteProvider notes for restoreProvider what routes a release, until it ends.
func (r *routing) noteProvider(c *flaggerv1.Canary) {
	before := c.Status.Provider
	c.Status.Provider = ""
	switch defaulted := provider.ForCanary(c, "").Name == ""; {
	case !c.Status.UnderWay():
	case before != "":
		c.Status.Provider = before
	case defaulted:
		c.Status.Provider = r.defaultProvider
	}
}

// noteRoutes notes which routes are about to be written. Those of before stay noted
// under a provider that has none: they still lead users.
func (r *routing) noteRoutes(c *flaggerv1.Canary, routes router.Router) {
	if len(routes.Objects(c)) > 0 {
		c.Status.Routing = c.RoutingBy(r.providerOf(c))
	}
}

// namedRoutes are the routes of a canary as a spec of it names them.
type namedRoutes struct {
	canary *flaggerv1.Canary
	router router.Router
}

// written are the routes that were written last, none if that was never noted.
func (r *routing) written(c *flaggerv1.Canary) []namedRoutes {
	if c.Status.Routing == nil {
		return nil
	}
	named := c.WithRouting(c.Status.Routing)
	routes, err := r.routerOf(named)
	if err != nil {
		return nil // this version does not know the provider
	}
	return []namedRoutes{{named, routes}}
}

// writtenAndWanted are the routes that were written last, and those that the spec names now if these
// are others: they may have been written before that was noted. Of a provider that is
// not known none were.
func (r *routing) writtenAndWanted(c *flaggerv1.Canary) []namedRoutes {
	all := r.written(c)
	routes, err := r.routerOf(c)
	if err == nil && !reflect.DeepEqual(c.Status.Routing, c.RoutingBy(r.providerOf(c))) {
		all = append(all, namedRoutes{c, routes})
	}
	return all
}

// routeDryRun has the API server check the routes of a canary that is new, before
// anything is made for it: what it refuses then is no longer a surprise on the day of
// a release. It keeps the generation that was checked for each canary, which goes with
// it; after a restart canaries that are still new are checked again.
type routeDryRun struct {
	routing *routing

	mu      sync.Mutex
	checked map[types.UID]int64
}

// dryRunWeights make a router write all rules that it ever does.
var dryRunWeights = []provider.Weights{provider.ToPrimary, provider.Split(50)}

// check returns what the API server refuses for good. Whatever else goes wrong is found
// out again, and said, later.
func (r *routeDryRun) check(ctx context.Context, c *flaggerv1.Canary) error {
	if !isNew(c) {
		return nil
	}
	r.mu.Lock()
	checked, ok := r.checked[c.UID]
	r.mu.Unlock()
	if ok && checked == c.Generation {
		return nil
	}
	routes, err := r.routing.routerWith(c, r.routing.dryRun)
	if err != nil {
		return err
	}
	for _, w := range dryRunWeights {
		if err := routes.SetWeights(ctx, c, w); errors.Is(err, reconcile.TerminalError(nil)) {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.checked == nil {
		r.checked = map[types.UID]int64{}
	}
	r.checked[c.UID] = c.Generation
	return nil
}

func (r *routeDryRun) forget(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.checked, uid)
}

// finalizeRoutes leads users to the apex Service.
func finalizeRoutes(ctx context.Context, all []namedRoutes) error {
	for _, routes := range all {
		if err := routes.router.Finalize(ctx, routes.canary); err != nil {
			return err
		}
	}
	return nil
}
