// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/test/contract"
)

// sticky are the providers that keep users where they are, with the field that
// has their rules.
var sticky = map[string]string{"gatewayapi:v1": "rules", "gatewayapi:v1beta1": "rules", "istio": "http"}

func stickyCanary(by string) *flaggerv1.Canary {
	c := contract.CanaryFor(by)
	c.Spec.Analysis.SessionAffinity = &flaggerv1.SessionAffinity{
		CookieName:        "seen",
		PrimaryCookieName: "stay",
		Domain:            "example.com",
		Path:              "/",
	}
	c.Status.SessionAffinityCookie, c.Status.PrimarySessionAffinityCookie = "seen=new", "stay=new"
	c.Status.PreviousSessionAffinityCookie = "seen=old"
	return c
}

// rulesAt returns the rules of the route as YAML, for a canary at some weights.
func rulesAt(t *testing.T, by string, c *flaggerv1.Canary, w provider.Weights) []string {
	t.Helper()
	cluster := contract.Cluster(t)
	r := routerOf(t, by, cluster)
	must(t, r.Supports(c))
	must(t, r.Reconcile(t.Context(), c))
	must(t, r.SetWeights(t.Context(), c, w))
	wantWeights(t, r, c, w)
	must(t, r.Reconcile(t.Context(), c))
	wantWeights(t, r, c, w)
	found, _, err := unstructured.NestedSlice(objectOf(t, cluster, r.Objects(c)[0]).Object, "spec", sticky[by])
	must(t, err)
	var out []string
	for _, rule := range found {
		data, err := yaml.Marshal(rule)
		must(t, err)
		out = append(out, string(data))
	}
	return out
}

func TestSessions(t *testing.T) {
	split := provider.Weights{Primary: 80, Canary: 20}
	cases := map[string]struct {
		edit func(*flaggerv1.Canary)
		at   provider.Weights
		want [][]string // for each rule, what it must mention; with a ! what it must not
	}{
		"users stay with what they saw": {func(*flaggerv1.Canary) {}, split, [][]string{
			{".*seen.*new.*", "!Set-Cookie"}, {".*stay.*new.*", "!Set-Cookie"},
			{"seen=new; Max-Age=86400; Domain=example.com; Path=/", "stay=new; Max-Age=10; Domain=example.com; Path=/"},
		}},
		"without a primary cookie nobody stays on the primary": {
			func(c *flaggerv1.Canary) { c.Spec.Analysis.SessionAffinity.PrimaryCookieName = "" }, split,
			[][]string{{".*seen.*new.*"}, {"seen=new", "!stay"}},
		},
		"a cookie is dropped with its domain and path, or browsers keep it": {
			func(c *flaggerv1.Canary) { c.Status.SessionAffinityCookie = "" }, provider.Weights{Primary: 100},
			[][]string{{".*seen.*old.*", "seen=old; Max-Age=-1; Domain=example.com; Path=/"}, {"!cookie"}},
		},
		"only who has a cookie is told to drop it": {func(c *flaggerv1.Canary) {
			c.Status.SessionAffinityCookie = ""
			c.Spec.Service.Headers = &flaggerv1.Headers{Response: &flaggerv1.HeaderOperations{Add: map[string]string{"x-provider": "app"}}}
		}, provider.Weights{Primary: 100}, [][]string{{"Max-Age=-1", "x-provider"}, {"x-provider", "!Max-Age"}}},
		"users of a release that was withdrawn are let go": {
			func(c *flaggerv1.Canary) { c.Status.PreviousSessionAffinityCookie = "" }, provider.Weights{Primary: 100},
			[][]string{{".*seen.*new.*", "Max-Age=-1"}, {"!cookie"}},
		},
		"without cookies there is one rule": {
			func(c *flaggerv1.Canary) { c.Status = flaggerv1.CanaryStatus{} }, provider.Weights{Primary: 100},
			[][]string{{"!cookie"}},
		},
		"weights come before affinity": {
			func(c *flaggerv1.Canary) { c.Status = flaggerv1.CanaryStatus{} }, split,
			[][]string{{"!cookie"}},
		},
		"the mirror is on the rule for everybody, too": {func(c *flaggerv1.Canary) {
			c.Spec.Analysis.Mirror, c.Status.SessionAffinityCookie = true, ""
		}, provider.Weights{Primary: 100, Mirror: true}, [][]string{{"irror", "Max-Age=-1"}, {"irror", "!Max-Age"}}},
	}
	for name, tc := range cases {
		for by := range sticky {
			t.Run(by+"/"+name, func(t *testing.T) {
				c := stickyCanary(by)
				tc.edit(c)
				rules := rulesAt(t, by, c, tc.at)
				if len(rules) != len(tc.want) {
					t.Fatalf("want %d rules, got %d:\n%s", len(tc.want), len(rules), strings.Join(rules, "---\n"))
				}
				for i, mentions := range tc.want {
					for _, want := range mentions {
						unwanted, not := strings.CutPrefix(want, "!")
						text := strings.ReplaceAll(rules[i], "\n", " ")
						text = regexp.MustCompile(` +`).ReplaceAllString(text, " ")
						if not == strings.Contains(text, unwanted) {
							t.Errorf("rule %d: want %q in\n%s", i, want, rules[i])
						}
					}
				}
			})
		}
	}
}

func TestOurCopyOfTheSpecIsNotTouchedByCookies(t *testing.T) {
	for by := range sticky {
		c := stickyCanary(by)
		c.Spec.Service.Headers = &flaggerv1.Headers{Response: &flaggerv1.HeaderOperations{Add: map[string]string{"x-provider": "app"}}}
		before := c.DeepCopy()
		rulesAt(t, by, c, provider.Weights{Primary: 100})
		if len(c.Spec.Service.Headers.Response.Add) != len(before.Spec.Service.Headers.Response.Add) {
			t.Errorf("%s: the spec was changed: %v", by, c.Spec.Service.Headers.Response.Add)
		}
	}
}
