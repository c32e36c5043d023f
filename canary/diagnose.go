// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// diagnose adds to a decision what is wrong, whatever the phase does about it: nobody
// answers users, or the next release cannot begin.
func diagnose(t transition, d Decision) Decision {
	next, seen := d.State, t.seen
	if d.Problem != "" || promoting(next.Phase) {
		return d
	}
	betweenReleases, failed := !analysing(next.Phase), next.Phase == flaggerv1.CanaryPhaseFailed
	users, fixArrived := trafficOf(t.from(next)), next.newRevision(seen.Target)
	switch {
	case failed && users.fallback && !fixArrived:
		return withProblem(d, seen.primaryServesNobody())
	case users.nobodyAnswers(), betweenReleases && !users.fallback && seen.Primary.Exists && seen.Primary.Stuck:
		return withProblem(d, seen.primaryNotReady())
	case betweenReleases && (!failed || fixArrived):
		return diagnoseNext(d, seen)
	default:
		return d
	}
}

// diagnoseNext says why the next release cannot begin.
func diagnoseNext(d Decision, seen Observation) Decision {
	switch {
	case seen.Plan.Routed && seen.RouteRefused:
		return withProblem(d, seen.RouteReason)
	case seen.Unmeasurable != "" && !seen.Plan.Skip:
		return withProblem(d, "metrics cannot be measured: "+seen.Unmeasurable)
	case seen.Plan.Routed && seen.RoutePending && seen.RouteReason != "":
		d.Settling = true
		d.Message += " " + seen.RouteReason + "."
	}
	return d
}

// withProblem adds to where things stand why that is not well, unless it says so.
func withProblem(d Decision, why string) Decision {
	switch {
	case d.Message == "":
		d.Problem = why
	case strings.Contains(d.Message, why):
		d.Problem = d.Message
	default:
		d.Problem = strings.TrimSuffix(d.Message, ".") + "; " + why
	}
	return d
}
