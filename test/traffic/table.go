// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"fmt"
	"net"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Route says where the requests of one HTTPRoute go now.
type Route struct {
	Namespace, Name string
	Hostnames       []string
	Backends        []Backend
	// Unserved is the share of requests for a Service without ready pods.
	Unserved float64
}

// Backend is one ready pod and its share of the route's requests, 0 to 1.
type Backend struct {
	Pod     string
	Address string
	Share   float64
}

// Read returns all routes of the cluster.
func Read(ctx context.Context, r client.Reader) ([]Route, error) {
	var list gatewayv1.HTTPRouteList
	if err := r.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("listing HTTPRoutes: %w", err)
	}
	var routes []Route
	for i := range list.Items {
		route, err := readRoute(ctx, r, &list.Items[i])
		if err != nil {
			return nil, err
		}
		routes = append(routes, route)
	}
	return routes, nil
}

func readRoute(ctx context.Context, r client.Reader, from *gatewayv1.HTTPRoute) (Route, error) {
	route := Route{Namespace: from.Namespace, Name: from.Name}
	for _, host := range from.Spec.Hostnames {
		route.Hostnames = append(route.Hostnames, string(host))
	}
	refs := plainRule(from.Spec.Rules).BackendRefs
	total := int32(0)
	for _, ref := range refs {
		total += ptr.Deref(ref.Weight, 1)
	}
	for _, ref := range refs {
		weight := ptr.Deref(ref.Weight, 1)
		if weight == 0 {
			continue
		}
		share := float64(weight) / float64(total)
		pods, err := readyPods(ctx, r, from.Namespace, ref)
		if err != nil {
			return Route{}, err
		}
		if len(pods) == 0 {
			route.Unserved += share
		}
		for _, pod := range pods {
			pod.Share = share / float64(len(pods))
			route.Backends = append(route.Backends, pod)
		}
	}
	return route, nil
}

// plainRule is the rule for a user without special headers or parameters, which
// is the second one in an A/B test.
func plainRule(rules []gatewayv1.HTTPRouteRule) gatewayv1.HTTPRouteRule {
	for _, rule := range rules {
		if len(rule.Matches) == 0 {
			return rule
		}
		for _, match := range rule.Matches {
			if len(match.Headers) == 0 && len(match.QueryParams) == 0 {
				return rule
			}
		}
	}
	return gatewayv1.HTTPRouteRule{}
}

func readyPods(ctx context.Context, r client.Reader, namespace string, ref gatewayv1.HTTPBackendRef) ([]Backend, error) {
	service := &corev1.Service{}
	if err := r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: string(ref.Name)}, service); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	var slices discoveryv1.EndpointSliceList
	err := r.List(ctx, &slices, client.InNamespace(namespace), client.MatchingLabels{discoveryv1.LabelServiceName: service.Name})
	if err != nil {
		return nil, fmt.Errorf("listing the endpoints of %s/%s: %w", namespace, service.Name, err)
	}
	var pods []Backend
	for _, slice := range slices.Items {
		port, ok := targetPort(service, slice.Ports, ptr.Deref(ref.Port, 0))
		if !ok {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			if ptr.Deref(endpoint.Conditions.Ready, true) && endpoint.TargetRef != nil && len(endpoint.Addresses) > 0 {
				pods = append(pods, Backend{
					Pod:     endpoint.TargetRef.Name,
					Address: net.JoinHostPort(endpoint.Addresses[0], strconv.Itoa(int(port))),
				})
			}
		}
	}
	return pods, nil
}

// targetPort finds the pods' port behind a port of the Service: slices know it
// by name.
func targetPort(service *corev1.Service, ports []discoveryv1.EndpointPort, port int32) (int32, bool) {
	for _, sp := range service.Spec.Ports {
		if sp.Port != port {
			continue
		}
		for _, ep := range ports {
			if ptr.Deref(ep.Name, "") == sp.Name && ep.Port != nil {
				return *ep.Port, true
			}
		}
	}
	return 0, false
}
