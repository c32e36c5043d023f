// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// implemented is whom to ask about a canary whose provider many products implement: the proxies of the one that has accepted its
// route, and otherwise the pods. Who that is stands in the status of the route by the name that its GatewayClass has, too; a route
// may be read by whoever may read its canary, and has a controller also where its parent is a Service, or a Gateway of
// another namespace.
func (k *Checker) implemented(ctx context.Context, c *flaggerv1.Canary, of provider.Provider) (builtinSource, error) {
	pods := builtinSource{Queries: of.Queries, countedBy: podsCount}
	_, version, _ := strings.Cut(of.Name, ":")
	kind, name := provider.Route(c, version)
	route := &unstructured.Unstructured{}
	route.SetGroupVersionKind(kind)
	err := k.routes.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, route)
	switch {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return pods, nil // it is not made yet
	case apierrors.IsForbidden(err):
		pods.hint = fmt.Sprintf("%s %s/%s may not be read, so that only the pods are asked, which have counted nothing",
			kind.Kind, c.Namespace, name)
		return pods, nil
	case err != nil:
		return builtinSource{}, fmt.Errorf("reading %s %s/%s, to see whose proxies count: %w", kind.Kind, c.Namespace, name, err)
	}
	found := k.implementations.current(client.ObjectKeyFromObject(c).String()+" "+name, accepting(route), k.clock.Now())
	if len(found) == 0 || len(found) == 1 && found[0].Needs == "" {
		return pods, nil
	}
	const podsAsked = ", so that only the pods are asked, which have counted nothing"
	which := fmt.Sprintf("%s %s/%s is carried by %s", kind.Kind, c.Namespace, name, products(found))
	switch by := found[0]; {
	case len(found) > 1:
		pods.hint = which + podsAsked + ": each has a part of the requests"
	case by.Queries.Folder == "":
		pods.hint = which + podsAsked + ": " + by.Needs
	case ofService(c) && !by.Queries.SeeServices:
		pods.hint = which + podsAsked + ": it counts workloads, and the target is a Service"
	default:
		return builtinSource{Queries: by.Queries, otherwise: of.Queries, countedBy: "proxies of " + by.Product,
			hint: which + ", and neither that nor the pods have counted anything: " + by.Needs}, nil
	}
	return pods, nil
}

// accepting are the implementations that have accepted a route for one of its parents. One that is not known has nothing
// but the name of its controller.
func accepting(route *unstructured.Unstructured) []provider.Implementation {
	var found []provider.Implementation
	for _, parent := range object.ParentsOf(route) {
		by, known := provider.ImplementedBy(parent.Controller, parent.Kind)
		if !known {
			by = provider.Implementation{Product: parent.Controller}
		}
		if accepts(parent) && !slices.ContainsFunc(found, func(other provider.Implementation) bool {
			return other.Product == by.Product && other.Parent == by.Parent
		}) {
			found = append(found, by)
		}
	}
	return found
}

func accepts(parent object.Parent) bool {
	return slices.ContainsFunc(parent.Conditions, func(condition object.JSON) bool {
		return object.Text(condition, "type") == string(gatewayv1.RouteConditionAccepted) &&
			object.Text(condition, "status") == string(metav1.ConditionTrue)
	})
}

func products(of []provider.Implementation) string {
	names := make([]string, 0, len(of))
	for _, by := range of {
		names = append(names, by.Product)
	}
	return strings.Join(slices.Compact(names), " and ")
}

// lastImplementations remember who carried the route of a canary last: controllers write the status of a route anew now and then,
// and for a moment nobody has accepted it, or two have. Other proxies count something else, so that all evidence would be lost.
type lastImplementations struct {
	mu      sync.Mutex
	byRoute map[string]lastImplementation
}

type lastImplementation struct {
	by   provider.Implementation
	seen time.Time
}

// current is who carries a route: who has accepted it alone or, for as long as that is not clear, and [gone] at most, who did before.
func (k *lastImplementations) current(route string, accepted []provider.Implementation, now time.Time) []provider.Implementation {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(accepted) == 1 {
		if k.byRoute == nil || len(k.byRoute) >= maxRecentlyCounted {
			k.byRoute = map[string]lastImplementation{}
		}
		k.byRoute[route] = lastImplementation{accepted[0], now}
		return accepted
	}
	if last, ok := k.byRoute[route]; ok && now.Sub(last.seen) < gone {
		return []provider.Implementation{last.by}
	}
	return accepted
}
