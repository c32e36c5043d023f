// SPDX-License-Identifier: Apache-2.0

package served

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-cd/sluice/test/harness"
)

const canaryHead = `
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: x, namespace: default}
spec:
`

const policyHead = `
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: x, namespace: default}
spec:
  imageRepositoryRef: {name: x}
  policy: {semver: {range: 1.x}}
`

const alertHead = `
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: x, namespace: default}
spec:
  type: slack
`

// target is a spec that is fine but for its analysis.
const target = `
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: x}
  service: {port: 80}
`

func TestTheAPIServerEnforcesTheRules(t *testing.T) {
	tests := map[string]struct {
		object  string
		refused string // part of the message; empty: accepted
	}{
		"a canary with steps is accepted": {
			object: canaryHead + target + `  analysis: {interval: 1m, threshold: 1, stepWeight: 10}`,
		},
		"a canary without a service is accepted, as by Flagger": {
			object: canaryHead + `
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: x}
  analysis: {interval: 1m, threshold: 1, iterations: 10}`,
		},
		"Istio's traffic policy is kept as it is written": {
			object: canaryHead + `
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: x}
  service: {port: 80, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
  analysis: {interval: 1m, threshold: 1, iterations: 10}`,
		},
		"steps and iterations together are refused": {
			object:  canaryHead + target + `  analysis: {interval: 1m, threshold: 1, stepWeight: 10, iterations: 2}`,
			refused: "exactly one of iterations, stepWeight and stepWeights",
		},
		"an analysis that says nothing about how is refused": {
			object:  canaryHead + target + `  analysis: {interval: 1m, threshold: 1}`,
			refused: "exactly one of iterations, stepWeight and stepWeights",
		},
		"a canary without an analysis is refused": {
			object:  canaryHead + target,
			refused: "spec.analysis: Required",
		},
		"an interval in hours is refused": {
			object:  canaryHead + target + `  analysis: {interval: 1h, threshold: 1, stepWeight: 10}`,
			refused: "spec.analysis.interval",
		},
		"a target of another kind is refused": {
			object: canaryHead + `
  targetRef: {apiVersion: apps/v1, kind: ReplicaSet, name: x}
  analysis: {interval: 1m, threshold: 1, iterations: 10}`,
			refused: "spec.targetRef",
		},
		"an unknown provider is refused": {
			object:  canaryHead + target + `  analysis: {interval: 1m, threshold: 1, stepWeight: 10}` + "\n  provider: carrier-pigeon",
			refused: "spec.provider: Unsupported",
		},
		"nginx without its Ingress is refused": {
			object:  canaryHead + target + `  analysis: {interval: 1m, threshold: 1, stepWeight: 10}` + "\n  provider: nginx",
			refused: "need ingressRef",
		},
		"apisix without its route is refused": {
			object:  canaryHead + target + `  analysis: {interval: 1m, threshold: 1, stepWeight: 10}` + "\n  provider: apisix",
			refused: "needs routeRef",
		},
		"a route of one's own is refused where nobody reads it": {
			object: canaryHead + target + `  analysis: {interval: 1m, threshold: 1, stepWeight: 10}` +
				"\n  provider: istio\n  httpRouteRef: {name: x}",
			refused: "only the gatewayapi providers have httpRouteRef",
		},
		"an A/B release is refused where users cannot be told apart": {
			object: canaryHead + target + `  analysis: {interval: 1m, threshold: 1, iterations: 1, match: [{headers: {a: {exact: b}}}]}` +
				"\n  provider: traefik",
			refused: "cannot choose users by analysis.match",
		},
		"mirroring is refused where nobody mirrors": {
			object: canaryHead + target + `  analysis: {interval: 1m, threshold: 1, iterations: 1, mirror: true}` +
				"\n  provider: nginx\n  ingressRef: {apiVersion: networking.k8s.io/v1, kind: Ingress, name: x}",
			refused: "has no analysis.mirror",
		},
		"sessions are refused where nobody keeps them": {
			object: canaryHead + target + `  analysis: {interval: 1m, threshold: 1, stepWeight: 10, sessionAffinity: {cookieName: x}}` +
				"\n  provider: linkerd",
			refused: "has no analysis.sessionAffinity",
		},
		"a header matched in two ways is refused": {
			object: canaryHead + target + `
  analysis: {interval: 1m, threshold: 1, iterations: 1, match: [{headers: {a: {exact: b, regex: c}}}]}`,
			refused: "must have at most 1 item",
		},
		"an unknown field is refused by strict validation": {
			object:  canaryHead + target + `  analysis: {interval: 1m, threshold: 1, stepWeight: 10, stepSize: 3}`,
			refused: `unknown field "spec.analysis.stepSize"`,
		},
		"Always with an interval is accepted": {
			object: policyHead + "  digestReflectionPolicy: Always\n  interval: 5m",
		},
		"Always without an interval is refused": {
			object:  policyHead + "  digestReflectionPolicy: Always",
			refused: "spec.interval must be set",
		},
		"an interval without Always is refused": {
			object:  policyHead + "  interval: 5m",
			refused: "spec.interval is only accepted",
		},
		"an alert provider with an address is accepted": {
			object: alertHead + "  address: https://example.com/hook",
		},
		"an alert provider with address and Secret is refused": {
			object:  alertHead + "  address: https://example.com/hook\n  secretRef: {name: x}",
			refused: "exactly one of address and secretRef",
		},
		"an alert provider with neither is refused": {
			object:  alertHead,
			refused: "exactly one of address and secretRef",
		},
	}
	c := harness.Installed(t).Client
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := create(t, c, parse(t, tc.object)[0])
			switch {
			case tc.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.refused != "" && (err == nil || !strings.Contains(err.Error(), tc.refused)):
				t.Errorf("got %v, want a refusal with %q", err, tc.refused)
			}
		})
	}
}

// TestARouteKeepsItsUsersWhileAReleaseIsUnderWay: a release whose provider, route
// or target is edited would leave its users on pods that are about to go.
func TestARouteKeepsItsUsersWhileAReleaseIsUnderWay(t *testing.T) {
	c := harness.Installed(t).Client
	underWay := parse(t, canaryHead+`
  suspend: true
  provider: gatewayapi:v1
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: x}
  service: {port: 80, name: web}
  analysis: {interval: 1m, threshold: 1, stepWeight: 10}`)[0]
	underWay.SetName("under-way")
	if err := c.Create(t.Context(), underWay); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Delete(context.Background(), underWay) })
	for name, tc := range map[string]struct {
		status, edit string
		refused      bool
	}{
		"another provider in mid-analysis":     {`{"phase":"Progressing","canaryWeight":10}`, `{"provider":"kubernetes"}`, true},
		"the controller's provider instead":    {`{"phase":"Progressing","canaryWeight":10}`, `{"provider":null}`, true},
		"another Service at a gate":            {`{"phase":"WaitingPromotion","canaryWeight":50}`, `{"service":{"name":"site"}}`, true},
		"another target during the promotion":  {`{"phase":"Promoting","canaryWeight":50}`, `{"targetRef":{"name":"y"}}`, true},
		"another route after a promotion fell": {`{"phase":"Failed","canaryWeight":100}`, `{"httpRouteRef":{"name":"mine"}}`, true},
		"its steps in mid-analysis":            {`{"phase":"Progressing","canaryWeight":10}`, `{"analysis":{"stepWeight":20}}`, false},
		"its port in mid-analysis":             {`{"phase":"Progressing","canaryWeight":10}`, `{"service":{"port":8080}}`, false},
		"another provider at rest":             {`{"phase":"Succeeded","canaryWeight":0}`, `{"provider":"kubernetes"}`, false},
		"another provider before it began":     {`{"phase":"Waiting","canaryWeight":0}`, `{"provider":"kubernetes"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			status := client.RawPatch(types.MergePatchType, []byte(`{"status":`+tc.status+`}`))
			if err := c.Status().Patch(t.Context(), underWay.DeepCopy(), status); err != nil {
				t.Fatal(err)
			}
			edit := client.RawPatch(types.MergePatchType, []byte(`{"spec":`+tc.edit+`}`))
			err := c.Patch(t.Context(), underWay.DeepCopy(), edit, client.DryRunAll)
			if refused := err != nil && strings.Contains(err.Error(), "cannot change while a release is under way"); refused != tc.refused ||
				!refused && err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestADurationThatIsNoneIsRefused by the CRD: the pattern of upstream let it in, and then no
// object of its kind could be read any more, in any namespace.
func TestADurationThatIsNoneIsRefused(t *testing.T) {
	c := harness.Installed(t).Client
	object := func(apiVersion, kind, spec string) *unstructured.Unstructured {
		o := &unstructured.Unstructured{}
		text := "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: {namespace: default, name: long}\nspec: " + spec
		if err := yaml.Unmarshal([]byte(text), o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	for kind, of := range map[string]struct{ apiVersion, spec string }{
		"Provider": {"notification.toolkit.fluxcd.io/v1beta3", "{type: slack, timeout: %s}"},
		"Receiver": {
			"notification.toolkit.fluxcd.io/v1", "{type: generic, interval: %s, secretRef: {name: a}, resources: [{kind: Bucket, name: a}]}",
		},
		"GitRepository":         {"source.toolkit.fluxcd.io/v1", "{url: https://a.example.com/b, interval: %s}"},
		"Kustomization":         {"kustomize.toolkit.fluxcd.io/v1", "{prune: false, interval: %s, sourceRef: {kind: Bucket, name: a}}"},
		"ImageRepository":       {"image.toolkit.fluxcd.io/v1", "{image: a/b, interval: %s}"},
		"ImageUpdateAutomation": {"image.toolkit.fluxcd.io/v1", "{interval: %s, sourceRef: {kind: GitRepository, name: a}}"},
	} {
		for _, long := range []string{"99999999999999999999m", "9223372037s", strings.Repeat("1m", 40)} {
			err := create(t, c, object(of.apiVersion, kind, fmt.Sprintf(of.spec, long)))
			if err == nil || !strings.Contains(err.Error(), "Invalid value") && !strings.Contains(err.Error(), "Too long") {
				t.Errorf("%s with %s: %v", kind, long, err)
			}
		}
		if err := create(t, c, object(of.apiVersion, kind, fmt.Sprintf(of.spec, "1m30s"))); err != nil {
			t.Errorf("%s with 1m30s: %v", kind, err)
		}
	}
}
