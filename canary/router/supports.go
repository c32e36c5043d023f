package router

import (
	"fmt"
	"regexp"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// use is a field of a canary, and whether the canary sets it.
type use struct {
	field string
	set   bool
}

// refuse returns a terminal error about the first field in use: a router that
// ignored one would send users where their owner did not want them.
func refuse(provider string, uses []use) error {
	for _, u := range uses {
		if u.set {
			return reconcile.TerminalError(fmt.Errorf("%s: not supported by provider %s", u.field, provider))
		}
	}
	return nil
}

// shiftingFields need something that splits or copies traffic.
func shiftingFields(a *flaggerv1.CanaryAnalysis) []use {
	if a == nil {
		return nil
	}
	return []use{
		{"spec.analysis.stepWeight", a.StepWeight != 0},
		{"spec.analysis.stepWeights", len(a.StepWeights) > 0},
		{"spec.analysis.stepWeightPromotion", a.StepWeightPromotion != 0},
		{"spec.analysis.maxWeight", a.MaxWeight != 0},
		{"spec.analysis.mirror", a.Mirror},
		{"spec.analysis.mirrorWeight", a.MirrorWeight != 0},
		{"spec.analysis.match", len(a.Match) > 0},
		{"spec.analysis.sessionAffinity", a.SessionAffinity != nil},
	}
}

// routingFields need a proxy that reads requests.
func routingFields(s *flaggerv1.CanaryService) []use {
	return []use{
		{"spec.service.gatewayRefs", len(s.GatewayRefs) > 0},
		{"spec.service.hosts", len(s.Hosts) > 0},
		{"spec.service.match", len(s.Match) > 0},
		{"spec.service.rewrite", s.Rewrite != nil},
		{"spec.service.headers", s.Headers != nil},
		{"spec.service.mirror", len(s.Mirror) > 0},
		{"spec.service.corsPolicy", s.CorsPolicy != nil},
		{"spec.service.timeout", s.Timeout != ""},
		{"spec.service.backendTimeout", s.BackendTimeout != ""},
	}
}

// foreignFields are for providers that are not served.
func foreignFields(c *flaggerv1.Canary) []use {
	s := &c.Spec.Service
	return []use{
		{"spec.upstreamRef", c.Spec.UpstreamRef != nil},
		{"spec.service.gateways", len(s.Gateways) > 0},
		{"spec.service.delegation", s.Delegation},
		{"spec.service.trafficPolicy", s.TrafficPolicy != nil},
		{"spec.service.retries", s.Retries != nil},
		{"spec.service.meshName", s.MeshName != ""},
		{"spec.service.backends", len(s.Backends) > 0},
	}
}

// routeFields are those that an HTTPRoute has no words for.
func routeFields(c *flaggerv1.Canary) []use {
	a, cors := c.Spec.Analysis, c.Spec.Service.CorsPolicy
	return []use{
		{"spec.analysis.sessionAffinity", a != nil && a.SessionAffinity != nil},
		{"spec.service.corsPolicy.allowOrigins", cors != nil && len(cors.AllowOrigins) > 0},
	}
}

// gatewayDuration is the duration syntax of GEP-2257.
var gatewayDuration = regexp.MustCompile(`^([0-9]{1,5}(h|m|s|ms)){1,4}$`)

// checkRoute finds what would make the route invalid before the API server does,
// and says which field of the canary it comes from.
func checkRoute(c *flaggerv1.Canary) error {
	s := &c.Spec.Service
	if len(s.GatewayRefs) == 0 {
		return reconcile.TerminalError(fmt.Errorf("spec.service.gatewayRefs: provider gatewayapi:v1 needs at least one Gateway"))
	}
	for field, value := range map[string]string{"timeout": s.Timeout, "backendTimeout": s.BackendTimeout} {
		if value != "" && !gatewayDuration.MatchString(value) {
			return reconcile.TerminalError(fmt.Errorf("spec.service.%s: %q is not a Gateway API duration such as 15s or 1m30s", field, value))
		}
	}
	_, err := renderRules(c, stable)
	return err
}

// foreignMatch names a condition that only Istio can check.
func foreignMatch(r *flaggerv1.HTTPMatchRequest) (string, bool) {
	uses := []use{
		{"scheme", r.Scheme != nil},
		{"authority", r.Authority != nil},
		{"port", r.Port != 0},
		{"sourceLabels", len(r.SourceLabels) > 0},
		{"sourceNamespace", r.SourceNamespace != ""},
		{"gateways", len(r.Gateways) > 0},
		{"ignoreUriCase", r.IgnoreURICase},
		{"withoutHeaders", len(r.WithoutHeaders) > 0},
	}
	i := slices.IndexFunc(uses, func(u use) bool { return u.set })
	if i < 0 {
		return "", false
	}
	return uses[i].field, true
}
