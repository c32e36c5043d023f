package served

import (
	"strings"
	"testing"
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
	c := install(t)
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
