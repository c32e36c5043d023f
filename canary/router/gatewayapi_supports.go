package router

import (
	"regexp"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// gatewayDuration is the duration syntax of GEP-2257.
var gatewayDuration = regexp.MustCompile(`^([0-9]{1,5}(h|m|s|ms)){1,4}$`)

// checkRoute finds what would make the route invalid before the API server does,
// and says which field of the canary it comes from.
func checkRoute(c *flaggerv1.Canary) error {
	s := &c.Spec.Service
	if len(s.GatewayRefs) == 0 {
		return terminal("spec.service.gatewayRefs: provider gatewayapi:v1 needs at least one Gateway")
	}
	if cors := s.CorsPolicy; cors != nil && len(cors.AllowOrigins) > 0 {
		return terminal("spec.service.corsPolicy.allowOrigins: not supported by provider gatewayapi:v1; use allowOrigin")
	}
	if a := c.Spec.Analysis; a != nil && a.SessionAffinity != nil {
		return terminal("spec.analysis.sessionAffinity: not supported by provider gatewayapi:v1")
	}
	for field, value := range map[string]string{"timeout": s.Timeout, "backendTimeout": s.BackendTimeout} {
		if value != "" && !gatewayDuration.MatchString(value) {
			return terminal("spec.service.%s: %q is not a Gateway API duration such as 15s or 1m30s", field, value)
		}
	}
	_, err := renderRules(c, stable)
	return err
}
