package metric

import (
	"embed" // the queries are files of their own, to be read and tried out as such
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

//go:embed queries
var queries embed.FS

// dialect is how the proxies of one kind count requests.
type dialect struct {
	folder string // of queries, which has a file for each builtin check
	// duration turns what the query returns into milliseconds.
	duration func(float64) float64
	// services means that the queries select by the Service or the route, so that
	// they also see a canary that is a Service and has no pods of its own.
	services bool
	// words means that the proxy puts an underscore for whatever is no letter or
	// digit in a name.
	words bool
}

// dialects are those of the router providers. Whoever speaks SMI is taken for
// Istio, as Flagger does; a Linkerd behind it is recognised, see [Checker.proxy].
var dialects = map[string]dialect{
	"kubernetes":         {folder: "kubernetes", duration: fromSeconds},
	"gatewayapi:v1":      {folder: "kubernetes", duration: fromSeconds},
	"gatewayapi:v1beta1": {folder: "kubernetes", duration: fromSeconds},
	"istio":              {folder: "istio", duration: math.Trunc},
	"smi:v1alpha1":       {folder: "istio", duration: math.Trunc},
	"smi:v1alpha2":       {folder: "istio", duration: math.Trunc},
	"smi:v1alpha3":       {folder: "istio", duration: math.Trunc},
	"linkerd":            {folder: "linkerd", duration: math.Trunc},
	"osm":                {folder: "osm", duration: math.Trunc},
	"nginx":              {folder: "nginx", duration: math.Trunc, services: true},
	"traefik":            {folder: "traefik", duration: math.Trunc, services: true},
	"contour":            {folder: "contour", duration: math.Trunc, services: true},
	"gloo":               {folder: "gloo", duration: math.Trunc, services: true},
	"kuma":               {folder: "kuma", duration: math.Trunc, services: true},
	"apisix":             {folder: "apisix", duration: math.Trunc, services: true},
	"skipper":            {folder: "skipper", duration: math.Trunc, services: true, words: true},
	"knative":            {folder: "knative", duration: math.Trunc, services: true},
}

// builtin adds the query of a builtin check to a plan. Nobody counts the requests
// of a Service by the pods behind it; a mesh may, and Flagger takes it to be Istio.
func (k *Checker) builtin(p *plan, c *flaggerv1.Canary, name string) error {
	proxy := k.proxy(c)
	d, ok := dialects[proxy]
	if !ok {
		field := "spec.provider"
		if c.Spec.Provider == "" {
			field = "--mesh-provider"
		}
		return reconcile.TerminalError(fmt.Errorf("%s: no builtin checks for %q, only for %s", field, proxy,
			strings.Join(slices.Sorted(maps.Keys(dialects)), ", ")))
	}
	if c.Spec.TargetRef.Kind == "Service" && !isKnative(c) && !d.services && !strings.HasPrefix(proxy, "gatewayapi:") {
		d = dialects["istio"]
	}
	query, err := queries.ReadFile("queries/" + d.folder + "/" + name + ".promql")
	if err != nil {
		return fmt.Errorf("reading the query of %s for %s: %w", name, proxy, err)
	}
	p.query, p.scale, p.words = string(query), asIs, d.words
	if name == flaggerv1.RequestDuration {
		p.scale = d.duration
	}
	return nil
}

// proxy is the provider that has counted the requests of a canary. In a cluster
// with Linkerd that is Linkerd, whoever splits the traffic. A mesh counts a
// StatefulSet as a whole; only its pods tell the revisions apart.
func (k *Checker) proxy(c *flaggerv1.Canary) string {
	switch {
	case c.Spec.TargetRef.Kind == "StatefulSet":
		return "kubernetes"
	case c.Spec.Provider == "" && !c.HasService():
		return "kubernetes" // it has no users, so that it needs no router
	case c.Spec.Provider == "":
		return k.provider
	case strings.Contains(k.provider, "linkerd"):
		return "linkerd"
	default:
		return c.Spec.Provider
	}
}

// fromSeconds returns whole milliseconds, so that a threshold of 500 means what it
// has always meant to Flagger: 500.9 ms pass.
func fromSeconds(seconds float64) float64 { return math.Trunc(seconds * 1000) }
