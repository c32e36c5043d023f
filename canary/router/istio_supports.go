// SPDX-License-Identifier: Apache-2.0

package router

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// Supports refuses what a VirtualService cannot say, and what Istio would refuse.
func (i istio) Supports(c *flaggerv1.Canary) error {
	s := &c.Spec.Service
	if err := cmp.Or(checkMirror(c), checkSession(c)); err != nil {
		return err
	}
	switch {
	case s.Delegation && len(s.Hosts) > 0:
		return terminal("spec.service.hosts: belong to the VirtualService that delegates to this one; remove them, or delegation")
	case s.Delegation && len(s.Gateways) > 0:
		return terminal("spec.service.gateways: belong to the VirtualService that delegates to this one; remove them, or delegation")
	case s.Rewrite != nil && s.Rewrite.Type != "":
		return terminal("spec.service.rewrite.type: not supported by provider istio, which rewrites what uri matched; remove it")
	case s.TrafficPolicy != nil && len(s.TrafficPolicy.Raw) > 0:
		if _, err := parseObject(s.TrafficPolicy.Raw); err != nil {
			return terminal("spec.service.trafficPolicy: %w", err)
		}
	}
	if err := checkDurations(s); err != nil {
		return err
	}
	if isTCP(c) {
		return checkTCP(c)
	}
	return checkMatches(c)
}

// checkDurations finds durations that Istio cannot read.
func checkDurations(s *flaggerv1.CanaryService) error {
	durations := map[string]string{"timeout": s.Timeout}
	if s.Retries != nil {
		durations["retries.perTryTimeout"] = s.Retries.PerTryTimeout
	}
	if s.CorsPolicy != nil {
		durations["corsPolicy.maxAge"] = s.CorsPolicy.MaxAge
	}
	for _, field := range slices.Sorted(maps.Keys(durations)) {
		if value := durations[field]; value != "" {
			if d, err := time.ParseDuration(value); err != nil || d < time.Millisecond {
				return terminal("spec.service.%s: %q is not a duration of a millisecond or more", field, value)
			}
		}
	}
	return nil
}

// checkTCP refuses what needs requests: TCP has only connections.
func checkTCP(c *flaggerv1.Canary) error {
	s := &c.Spec.Service
	const needsHTTP = "%s: needs HTTP, and spec.service.appProtocol is tcp; remove one of the two"
	if _, path, ok := provider.FirstSet(c,
		provider.OfAnalysis|provider.Rewrite|provider.Timeout|provider.Retries|provider.Headers|provider.CORSPolicy); ok {
		return terminal(needsHTTP, path)
	}
	for i := range s.Match {
		m, at := &s.Match[i], fmt.Sprintf("spec.service.match[%d].", i)
		for _, condition := range []fieldSetting{
			{"uri", m.URI != nil},
			{"scheme", m.Scheme != nil},
			{"method", m.Method != nil},
			{"authority", m.Authority != nil},
			{"headers", len(m.Headers) > 0},
			{"queryParams", len(m.QueryParams) > 0},
			{"ignoreUriCase", m.IgnoreURICase},
			{"withoutHeaders", len(m.WithoutHeaders) > 0},
		} {
			if condition.set {
				return terminal(needsHTTP, at+condition.field)
			}
		}
	}
	return nil
}

// checkMatches refuses a suffix: Istio's schema drops it, and what is left would
// match every request that has the header at all.
func checkMatches(c *flaggerv1.Canary) error {
	if field, ok := suffixed("spec.service.match", c.Spec.Service.Match); ok {
		return terminal("%s.suffix: Istio matches exact, prefix or regex; use regex", field)
	}
	if c.Spec.Analysis == nil {
		return nil
	}
	if field, ok := suffixed("spec.analysis.match", c.Spec.Analysis.Match); ok {
		return terminal("%s.suffix: Istio matches exact, prefix or regex; use regex", field)
	}
	return nil
}

// suffixed names a condition about how a text ends.
func suffixed(field string, requests []flaggerv1.HTTPMatchRequest) (string, bool) {
	for i := range requests {
		r := &requests[i]
		for name, m := range map[string]*flaggerv1.StringMatch{"uri": r.URI, "scheme": r.Scheme, "method": r.Method, "authority": r.Authority} {
			if m != nil && m.Suffix != "" {
				return fmt.Sprintf("%s[%d].%s", field, i, name), true
			}
		}
		for name, all := range map[string]map[string]flaggerv1.StringMatch{
			"headers": r.Headers, "queryParams": r.QueryParams, "withoutHeaders": r.WithoutHeaders,
		} {
			for key, m := range all {
				if m.Suffix != "" {
					return fmt.Sprintf("%s[%d].%s[%s]", field, i, name, key), true
				}
			}
		}
	}
	return "", false
}
