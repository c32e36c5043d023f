// SPDX-License-Identifier: Apache-2.0

// Package router shifts traffic between the two copies of a workload.
//
// A canary runs a workload twice, behind two Services: `<apex>-primary`, the
// version that users trust, and `<apex>-canary`, the one under analysis. How
// much traffic each of them gets is written in the route objects of whatever
// proxy stands in front, and a [Router] is how the analysis reads and writes it:
//
//	users -> Gateway -> HTTPRoute <apex> -+- weight 80 -> <apex>-primary
//	                                      +- weight 20 -> <apex>-canary
//
// The weights in the route objects are the only truth about where users go, so
// nothing here keeps state: a router reads them back from the cluster, and every
// write is absolute, so that repeating it after a crash changes nothing.
// Routers are chosen by spec.provider from one table, see [New].
package router

import (
	"context"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// Router reads and writes the traffic weights of one canary.
type Router interface {
	// Reconcile creates or repairs the route objects, and leaves live weights as
	// they are. Routes that it creates send everything to the primary.
	Reconcile(ctx context.Context, c *flaggerv1.Canary) error
	// Weights returns what the route objects say now; see [ErrNotAccepted].
	Weights(ctx context.Context, c *flaggerv1.Canary) (provider.Weights, error)
	// SetWeights makes the route objects say w. It is absolute and idempotent.
	SetWeights(ctx context.Context, c *flaggerv1.Canary, w provider.Weights) error
	// TakeOff takes all users off the canary, and changes nothing else in the routes
	// that are there: what the spec says now may be refused. It is idempotent, and has
	// nothing to do where there is no route.
	TakeOff(ctx context.Context, c *flaggerv1.Canary) error
	// Finalize leaves routes that outlive the canary pointing at the apex Service.
	Finalize(ctx context.Context, c *flaggerv1.Canary) error
	// Supports returns a terminal error that names the first field of the
	// canary that this router cannot honour. Those that its row in the table of
	// package provider has not are refused before it is asked.
	Supports(c *flaggerv1.Canary) error
	// Objects are the route objects of the canary, whose changes concern it. They
	// need not exist.
	Objects(c *flaggerv1.Canary) []object.Ref
}

// Deps are what routers work with.
type Deps struct {
	// Client reads and writes route objects. A cached one may return weights
	// that are a moment old; writes are guarded by the resource version.
	Client client.Client
	// Foreign means that Client is that of another cluster than the Canary's, which
	// has the mesh: nothing there can be owned by the Canary, or go with it.
	Foreign bool
	// OwnNamespace refuses canaries that reach into other namespaces than their own:
	// into hosts of a mesh, and objects to copy from.
	OwnNamespace bool
	// IngressClass is the ingress class of the HTTPProxies that provider contour makes; empty
	// leaves it out. Copies of an Ingress have the class of the original.
	IngressClass string
	// IngressAnnotations is the prefix of the annotations of provider nginx; empty
	// is nginx.ingress.kubernetes.io.
	IngressAnnotations string
}

// builders make the router of each provider; what it can do is a row in the table of
// package provider.
var builders = map[string]func(Deps) Router{
	"apisix":             func(d Deps) Router { return singleObject{d, apisix{}} },
	"contour":            newContour,
	"gatewayapi:v1":      newGatewayAPI("v1"),
	"gatewayapi:v1beta1": newGatewayAPI("v1beta1"),
	"gloo":               newGloo,
	"istio":              newIstio,
	"knative":            newKnative,
	"kubernetes":         func(Deps) Router { return services{} },
	"kuma":               func(d Deps) Router { return singleObject{d, kuma{}} },
	"linkerd":            newSMI("linkerd", "v1alpha1"),
	"nginx":              newNginx,
	"osm":                newSMI("osm", "v1alpha2"),
	"partition":          newInPlace,
	"skipper":            func(d Deps) Router { return singleObject{d, skipper{}} },
	"smi:v1alpha1":       newSMI("smi:v1alpha1", "v1alpha1"),
	"smi:v1alpha2":       newSMI("smi:v1alpha2", "v1alpha2"),
	"smi:v1alpha3":       newSMI("smi:v1alpha3", "v1alpha3"),
	"traefik":            func(d Deps) Router { return singleObject{d, traefik{}} },
}

// New returns the router of a spec.provider. An unknown name is a terminal error.
func New(name string, deps Deps) (Router, error) {
	if why, ok := provider.Ended(name); ok {
		return nil, terminal("spec.provider: %s is not served, %s; move to one of %s", name, why, strings.Join(provider.Nameable(), ", "))
	}
	p, _ := provider.Named(name)
	build, ok := builders[name]
	if !ok {
		return nil, terminal("spec.provider: %q is not served, only %s are", name, strings.Join(provider.Nameable(), ", "))
	}
	var r Router = supported{build(deps), p}
	if deps.OwnNamespace {
		r = inNamespace{r, p}
	}
	return r, nil
}
