// SPDX-License-Identifier: Apache-2.0

package router

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

var contourProxy = schema.GroupVersionKind{Group: "projectcontour.io", Version: "v1", Kind: "HTTPProxy"}

const (
	// contourIdle is the idle timeout beside that of a request, as in Flagger.
	contourIdle = "5m"
	// contourMesh is the header by which Linkerd, running inside Envoy's pod, knows
	// the backend that Envoy chose.
	contourMesh = "l5d-dst-override"
)

// contour is the provider of that name: an HTTPProxy with the name of the apex,
// which a root HTTPProxy of the owner's includes. Of its routes, those that send
// traffic to one of the three Services are the canary's.
type contour struct {
	// class is that of the HTTPProxy; empty leaves it alone.
	class string
}

func newContour(d Deps) Router { return singleObject{d, contour{class: d.IngressClass}} }

var contourBackend = backendNameAt("name")

func (contour) object(c *flaggerv1.Canary) object.Ref {
	apex, _, _ := c.ServiceNames()
	return object.NewRef(contourProxy, c.Namespace, apex)
}

func (p contour) render(d draft, w provider.Weights) error {
	ours, others := contourRoutes(d.Unstructured, d.canary)
	chosen, err := contourMatches(d.canary)
	if err != nil {
		return err
	}
	var routes []entry
	for _, conditions := range chosen {
		routes = append(routes, contourRoute(d.canary, sameAs(ours, len(routes)), conditions, w))
	}
	if len(chosen) > 0 {
		w = provider.ToPrimary // for everybody who was not chosen
	}
	everyone := []entry{{"prefix": contourPrefix(d.canary)}}
	routes = append(routes, contourRoute(d.canary, sameAs(ours, len(routes)), everyone, w))
	apexMetadata(d)
	if p.class != "" {
		object.Put(d.Object, p.class, "spec", "ingressClassName")
	}
	object.Put(d.Object, append(routes, others...), "spec", "routes")
	return nil
}

// contourRoutes tells the routes of the canary's three Services from others.
func contourRoutes(o *unstructured.Unstructured, c *flaggerv1.Canary) (ours, others []entry) {
	apex, primary, canary := c.ServiceNames()
	for _, route := range object.List(o.Object, "spec", "routes") {
		if slices.ContainsFunc(object.List(route, "services"), func(service entry) bool {
			return slices.Contains([]string{apex, primary, canary}, contourBackend(service))
		}) {
			ours = append(ours, route)
		} else {
			others = append(others, route)
		}
	}
	return ours, others
}

// sameAs returns a copy of the route that was in a place, or else of the last, so
// that what a canary cannot say about a route stays as somebody else said it.
func sameAs(live []entry, place int) entry {
	if len(live) == 0 {
		return entry{}
	}
	return runtime.DeepCopyJSON(live[min(place, len(live)-1)])
}

func contourRoute(c *flaggerv1.Canary, route entry, conditions []entry, w provider.Weights) entry {
	_, primary, canary := c.ServiceNames()
	live := object.List(route, "services")
	object.Put(route, conditions, "conditions")
	object.Put(route, []entry{
		contourEntry(c, liveEntry(live, contourBackend, primary, canary), primary, w.Primary),
		contourEntry(c, liveEntry(live, contourBackend, canary, primary), canary, w.Canary),
	}, "services")
	object.PutMap(route, "timeoutPolicy", contourTimeout(&c.Spec.Service))
	object.PutMap(route, "retryPolicy", contourRetries(c.Spec.Service.Retries))
	return route
}

func contourEntry(c *flaggerv1.Canary, e entry, service string, weight int) entry {
	port := c.Spec.Service.Port
	e["name"], e["port"], e["weight"] = service, int64(port), int64(weight)
	headers := slices.DeleteFunc(object.List(e, "requestHeadersPolicy", "set"), func(header entry) bool {
		return object.Text(header, "name") == contourMesh
	})
	object.Put(e, append(headers, entry{
		"name": contourMesh, "value": fmt.Sprintf("%s.%s.svc.cluster.local:%d", service, c.Namespace, port),
	}), "requestHeadersPolicy", "set")
	return e
}

func contourTimeout(s *flaggerv1.CanaryService) entry {
	if s.Timeout == "" {
		return nil
	}
	return entry{"response": s.Timeout, "idle": contourIdle}
}

func contourRetries(r *flaggerv1.HTTPRetry) entry {
	if r == nil {
		return nil
	}
	policy := entry{"count": int64(r.Attempts)}
	if r.PerTryTimeout != "" {
		policy["perTryTimeout"] = r.PerTryTimeout
	}
	var on []any
	for _, condition := range strings.Split(r.RetryOn, ",") {
		if condition = strings.TrimSpace(condition); condition != "" {
			on = append(on, condition)
		}
	}
	if len(on) > 0 {
		policy["retryOn"] = on
	}
	return policy
}

// contourPrefix is the path of the route below that of the including HTTPProxy.
func contourPrefix(c *flaggerv1.Canary) string {
	if match := c.Spec.Service.Match; len(match) > 0 && match[0].URI != nil && match[0].URI.Prefix != "" {
		return match[0].URI.Prefix
	}
	return "/"
}

// contourMatches are the conditions of an A/B test, one set for each entry of its
// match. The headers of one entry must all fit. A set may have only one prefix.
func contourMatches(c *flaggerv1.Canary) ([][]entry, error) {
	if c.Spec.Analysis == nil {
		return nil, nil
	}
	var out [][]entry
	for i, m := range c.Spec.Analysis.Match {
		field := fmt.Sprintf("spec.analysis.match[%d]", i)
		if err := onlyHeaders(field, "contour", &m); err != nil {
			return nil, err
		}
		var set []entry
		for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
			header, err := contourHeader(name, m.Headers[name])
			if err != nil {
				return nil, terminal("%s.headers[%s]: %w", field, name, err)
			}
			set = append(set, entry{"header": header})
		}
		if len(set) == 0 {
			return nil, terminal("%s.headers: provider contour needs a header to choose users by", field)
		}
		set[0]["prefix"] = contourPrefix(c)
		out = append(out, set)
	}
	return out, nil
}

// contourHeader looks for a prefix or a suffix anywhere in the value, as Flagger
// does: Contour has no closer condition.
func contourHeader(name string, value flaggerv1.StringMatch) (entry, error) {
	header := entry{"name": name}
	switch {
	case value.Exact != "":
		header["exact"] = value.Exact
	case value.Prefix != "":
		header["contains"] = value.Prefix
	case value.Suffix != "":
		header["contains"] = value.Suffix
	case value.Regex != "":
		return nil, fmt.Errorf("provider contour does not match regex; use exact, prefix or suffix")
	default:
		header["present"] = true
	}
	return header, nil
}

// weights are those of the first route. When it is for chosen users only, and the
// canary no longer chooses any, they say nothing about the others.
func (contour) weights(live *unstructured.Unstructured, c *flaggerv1.Canary) (provider.Weights, error) {
	_, primary, canary := c.ServiceNames()
	ours, _ := contourRoutes(live, c)
	for _, route := range ours {
		w, ok := weightsIn(object.List(route, "services"), contourBackend, primary, canary)
		if !ok {
			continue
		}
		chooses := slices.ContainsFunc(object.List(route, "conditions"), func(condition entry) bool { return condition["header"] != nil })
		if chooses && !isABTest(c) {
			continue
		}
		return w, nil
	}
	return provider.ToPrimary, nil
}

func (contour) release(live *unstructured.Unstructured, c *flaggerv1.Canary) error {
	apex, primary, canary := c.ServiceNames()
	ours, others := contourRoutes(live, c)
	if len(ours) == 0 {
		return nil
	}
	kept := ours[len(ours)-1]
	e := liveEntry(object.List(kept, "services"), contourBackend, primary, canary)
	object.Put(kept, []entry{contourEntry(c, e, apex, provider.ToPrimary.Primary)}, "services")
	object.Put(live.Object, append([]entry{kept}, others...), "spec", "routes")
	return nil
}

// Supports refuses what a route of an HTTPProxy cannot say.
func (contour) Supports(c *flaggerv1.Canary) error {
	s := &c.Spec.Service
	if len(s.Match) > 1 {
		return terminal("spec.service.match[1]: provider contour has one prefix; leave one entry")
	}
	for _, m := range s.Match {
		for _, condition := range conditions(&m) {
			if condition.set && condition.field != "uri" || condition.field == "uri" && (m.URI == nil || m.URI.Prefix == "") {
				return terminal("spec.service.match[0].%s: provider contour has nothing but uri.prefix", condition.field)
			}
		}
	}
	if _, err := time.ParseDuration(s.Timeout); s.Timeout != "" && s.Timeout != "infinity" && err != nil {
		return terminal("spec.service.timeout: %q is neither a duration nor infinity", s.Timeout)
	}
	_, err := contourMatches(c)
	return err
}

// isABTest reports whether the canary is for chosen users.
func isABTest(c *flaggerv1.Canary) bool {
	return c.Spec.Analysis != nil && len(c.Spec.Analysis.Match) > 0
}

// notAccepted implements [statusFormat]: Contour says in words how an HTTPProxy stands, and
// in a condition which one it has seen. One that no other includes, an orphan, is
// followed once it is included.
func (contour) notAccepted(live *unstructured.Unstructured) *NotAccepted {
	valid := conditionNotAccepted(live, object.List(live.Object, "status", "conditions"), "Valid", "Contour")
	if valid != nil && !valid.Refused {
		return valid
	}
	if object.Text(live.Object, "status", "currentStatus") == "invalid" {
		return rejected(live, "Contour", object.Text(live.Object, "status", "description"))
	}
	return nil
}
