// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// TestCookies has which users are bound to what.
func TestCookies(t *testing.T) {
	progressing := flaggerv1.CanaryPhaseProgressing
	of := func(revision string) string { return "sticky=" + cookieValue("canary", revision) }
	stay := "stay=" + cookieValue("primary", v2)
	bound := func(s situation) situation {
		s.Plan.Affinity = &flaggerv1.SessionAffinity{CookieName: "sticky", PrimaryCookieName: "stay"}
		if s.State.Weight > 0 {
			s.State.Cookies = Cookies{Canary: of(v2), Primary: stay}
		}
		return s
	}
	for name, tc := range map[string]struct {
		given situation
		want  Cookies
	}{
		"the first users of the canary are bound to it": {bound(at(progressing, 0)), Cookies{Canary: of(v2), Primary: stay}},
		"a further step binds them to the same":         {bound(at(progressing, 20)), Cookies{Canary: of(v2), Primary: stay}},
		"a cookie for the primary is not made unless it has a name": {
			edited(bound(at(progressing, 0)), func(s *situation) { s.Plan.Affinity.PrimaryCookieName = "" }), Cookies{Canary: of(v2)}},
		"users of a canary that failed are let go": {
			edited(bound(at(progressing, 20)), func(s *situation) { s.Alarm = "lag" }),
			Cookies{Previous: of(v2)},
		},
		"another revision has nobody yet": {
			edited(bound(at(progressing, 20)), func(s *situation) { s.Target = running(v3) }),
			Cookies{Previous: of(v2)},
		},
		"the cookie of the last release is still let go in the next": {
			edited(bound(at(progressing, 0)), func(s *situation) {
				s.State.Cookies.Previous = of(v1)
			}), Cookies{Canary: of(v2), Primary: stay, Previous: of(v1)}},
		"a revision that is tried again is not let go by the cookie that binds it": {
			edited(bound(at(progressing, 0)), func(s *situation) { s.State.Cookies.Previous = of(v2) }), Cookies{Canary: of(v2), Primary: stay}},
		"a fix takes over the users of what failed": {
			edited(bound(at(flaggerv1.CanaryPhaseFailed, 100)), func(s *situation) { s.Target, s.Primary = running(v3), stuck(v1) }),
			Cookies{Canary: of(v3), Primary: "stay=" + cookieValue("primary", v3), Previous: of(v2)}},
		"without session affinity nobody is bound": {edited(bound(at(progressing, 20)), func(s *situation) { s.Plan.Affinity = nil }), Cookies{}},
	} {
		t.Run(name, func(t *testing.T) {
			decision, err := tc.given.decide()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, decision.State.Cookies); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCookiesThatAnEditAsksForAreWrittenAtOnce(t *testing.T) {
	s := at(flaggerv1.CanaryPhaseProgressing, 20)
	s.State.At, s.Measured = noon, nil
	s.Plan.Affinity = &flaggerv1.SessionAffinity{CookieName: "sticky"}
	decision, err := s.decide()
	if err != nil || !strings.HasPrefix(decision.State.Cookies.Canary, "sticky=") ||
		strings.Join(actionNames(decision.Actions), " ") != "SetWeights{{80 20 false}}" {
		t.Errorf("got %+v, %v, %v", decision.State.Cookies, actionNames(decision.Actions), err)
	}
}
