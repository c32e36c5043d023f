// SPDX-License-Identifier: Apache-2.0

// Package provider knows what each value of a Canary's spec.provider can do.
//
// A provider is whatever stands in front of the two copies of a workload and
// decides which of them a request reaches: a service mesh, an ingress
// controller, or Kubernetes itself. They differ in what they can be asked for:
//
//	                 users are moved by        fields of the Canary   built-in checks
//	istio            weights of requests       nearly all             istio_requests_total
//	kubernetes       nothing: blue/green only  none                   http_request_duration_seconds
//	partition        the number of pods        none                   as kubernetes
//
// All of that is one table of values, a row for each provider. The routers read in
// it which fields they may be given, the metrics which queries their proxies answer,
// the plan of a release whether users can be moved at all, and the CLI which objects
// are made. What the API server accepts of a Canary and what the controller may write
// is generated from it (hack/providers). How a provider does it is a file in
// canary/router.
//
// The package is the floor below canary and its I/O packages, which all may import
// it; it imports nothing but API types.
package provider

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// Provider is what one value of spec.provider stands for. The zero values of its
// fields are what most providers have.
type Provider struct {
	// Name is the value of spec.provider. What precedes a colon is its family; what
	// follows is the version of the API that route objects are written in.
	Name string
	// Routing is what moves users between the two copies.
	Routing Routing
	// Cluster is where the route objects are.
	Cluster Cluster
	// Product brings the CRDs of Kinds; it is empty for kinds that every cluster has.
	Product string
	// Kinds are the kinds of the objects that say where users go, and of what else is made for them. What the controller may
	// write (config/rbac/canary.yaml), and what commands show below a Canary, is made of them.
	Kinds []schema.GroupKind
	// InTarget means that the target itself says where users go: it is patched, and nothing is made.
	InTarget bool
	// Fields are the fields of the Canary that the provider honours, of the ones that not
	// all of them do.
	Fields Fields
	// Needs are the references among Fields without which there is nothing to route with, see [References].
	Needs Fields
	// Queries are the built-in checks; without a folder there are none.
	Queries Queries
	// Implemented means that many products have the provider's API, so that Queries are those of the pods, and proxies have
	// others: see [Implementation].
	Implemented bool
	// ClaimsHosts means that requests to a host of spec.service.hosts come to whoever
	// names it, in the whole mesh: no Gateway or root route says whose hosts it takes.
	ClaimsHosts bool
	// Sidecars are the containers that a mesh puts beside an application, whose ports are its own: no Service of a canary gets them.
	Sidecars []string
	// ServiceOptional means that a Canary may do without spec.service.
	ServiceOptional bool
}

// Routing is what moves users between the two copies of a workload.
type Routing int

const (
	// ByRequest sends each request to one of the copies, by weight.
	ByRequest Routing = iota
	// ByPod gives the new revision a share of the pods of the one copy that there is,
	// and not before its weight is set.
	ByPod
	// Nowhere leaves all users on the primary. Only blue/green analyses fit that.
	Nowhere
)

// Cluster is one of the two that a release may have to do with.
type Cluster int

const (
	// OfMesh is the cluster of the mesh's control plane.
	OfMesh Cluster = iota
	// OfWorkload is the cluster of the workload, wherever the mesh is.
	OfWorkload
)

// Queries are the built-in checks of a provider: what its proxies call the requests
// that they have counted.
type Queries struct {
	// Folder has the query of each check, below canary/metric/queries.
	Folder string
	// Backend is what a proxy calls the Service of an arm in a label, a regular expression: what {{ backend }} stands for in
	// the queries of folders that several proxies share. It may call what queries may, and {{ arm }}, which is canary or
	// primary.
	Backend string
	// Reporter are the proxies of a mesh whose reports are read, since those of both ends of a connection count: a regular
	// expression, which {{ reporter }} stands for. Empty are those of who gets the requests.
	Reporter string
	// Duration is the unit of what the query of request-duration returns.
	Duration Unit
	// Names is how label values spell the names of objects.
	Names Spelling
	// SeeServices means that they also answer for a target that is a Service, and has
	// no pods of its own. Without it Istio's queries are asked for those.
	SeeServices bool
}

// Unit is a unit of time.
type Unit int

// The units that proxies measure in.
const (
	Milliseconds Unit = iota
	Seconds
)

// Spelling is how a proxy writes the name of an object in a label of its metrics.
type Spelling int

const (
	// Verbatim keeps the name.
	Verbatim Spelling = iota
	// Underscored has an underscore for everything that is no letter or digit.
	Underscored
)

// Named returns the provider of a name, and whether there is one.
func Named(name string) (Provider, bool) {
	at := slices.IndexFunc(table, func(p Provider) bool { return p.Name == name })
	if at < 0 {
		return Provider{Name: name}, false
	}
	return table[at], true
}

// ForCanary returns the provider that routes the traffic of a canary; byDefault is that of
// canaries that name none. A canary without users needs none, and a StatefulSet is
// routed by the share of its pods. A name that is not served has a Provider that
// honours nothing: to refuse it is the business of package router.
func ForCanary(c *flaggerv1.Canary, byDefault string) Provider {
	p, _ := Named(nameOf(c, byDefault))
	return p
}

func nameOf(c *flaggerv1.Canary, byDefault string) string {
	named := c.Spec.Provider
	switch {
	case c.Spec.TargetRef.Kind == statefulSet && (named == "" || named == Kubernetes):
		return Partition
	case named != "":
		return named
	case !c.HasService():
		return Kubernetes
	default:
		return byDefault
	}
}

const statefulSet = "StatefulSet"

// KnativeService is the kind of target that Knative itself routes. It shares its name
// with the Service of Kubernetes.
var KnativeService = schema.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Service"}

// TargetsKnative reports whether a canary releases a Knative Service, in any version of
// its API.
func TargetsKnative(c *flaggerv1.Canary) bool {
	gv, err := schema.ParseGroupVersion(c.Spec.TargetRef.APIVersion)
	return err == nil && gv.Group == KnativeService.Group && c.Spec.TargetRef.Kind == KnativeService.Kind
}

// Names returns the names of all providers, sorted.
func Names() []string { return names(func(Provider) bool { return true }) }

// Nameable returns the names that a spec may give, sorted.
func Nameable() []string { return names(func(p Provider) bool { return p.Name != Partition }) }

// WithQueries returns the names of those that have built-in checks, sorted.
func WithQueries() []string {
	return names(func(p Provider) bool { return p.Queries.Folder != "" })
}

func names(fit func(Provider) bool) []string {
	var out []string
	for _, p := range table {
		if fit(p) {
			out = append(out, p.Name)
		}
	}
	slices.Sort(out)
	return out
}

// Sidecars returns the containers of all meshes that are known, whoever routes, sorted. Those that route by another API
// than one of their own have no provider.
func Sidecars() []string {
	all := []string{"aws-appmesh-proxy", "consul-dataplane", "envoy-sidecar"}
	for _, p := range table {
		all = append(all, p.Sidecars...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// ProductOf returns what brings the CRDs of an API group, and whether that is a product which
// any provider has its route objects of.
func ProductOf(group string) (string, bool) {
	for _, p := range table {
		if p.Product != "" && slices.ContainsFunc(p.Kinds, func(kind schema.GroupKind) bool { return kind.Group == group }) {
			return p.Product, true
		}
	}
	return "", false
}

// MadeKinds returns the kinds of objects that are made for canaries, by any provider, each once.
func MadeKinds() []schema.GroupKind {
	var out []schema.GroupKind
	for _, p := range table {
		for _, kind := range p.Kinds {
			if !p.InTarget && !slices.Contains(out, kind) {
				out = append(out, kind)
			}
		}
	}
	return out
}

// Family is the name without the version of an API: providers of one family differ
// in nothing else.
func (p Provider) Family() string {
	family, _, _ := strings.Cut(p.Name, ":")
	return family
}
