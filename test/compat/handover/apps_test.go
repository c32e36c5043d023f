// SPDX-License-Identifier: Apache-2.0

package handover

import (
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// app is one workload with its Canary, and where the first controller is stopped.
type app struct {
	name string
	// kind of the target; Deployment if empty. spec and analysis are lines of the
	// Canary, service of its spec.service.
	kind, provider, spec, service, analysis string
	// env are lines of the target's container.
	env string
	// quality is the metric that decides: good if empty.
	quality string
	// release is a new version, by its image or, with config, by its ConfigMap.
	release, config bool
	// closed are gates that are shut from a weight of the canary on, or [whileMirrored].
	closed map[flaggerv1.HookType]int
	// roomless are new pods that find no node: from the start, from a weight on, or
	// from the deletion on.
	roomless string
	// phase is where the first controller is stopped; weight and iterations, too. Late
	// is what nothing holds there: it is let go from Promoting at the last moment.
	phase              flaggerv1.CanaryPhase
	weight, iterations int
	late               bool
	// ends is where the second brings it; empty if it is gone then.
	ends flaggerv1.CanaryPhase
}

// rests reports whether there is nothing to do about an app.
func (a app) rests() bool { return a.phase == a.ends }

// runs is the image of the primary after all, or where it leads.
func (a app) runs() string {
	before, after := "app:1", "app:2"
	if a.kind == "Service" {
		before, after = "one.example.com", "two.example.com"
	}
	if a.release && !a.config && a.ends == flaggerv1.CanaryPhaseSucceeded {
		return after
	}
	return before
}

// podless reports whether the target has no pods that are there or not.
func (a app) podless() bool { return a.kind == "Service" || a.kind == "Knative" }

const (
	steps  = "{stepWeight: 20, maxWeight: 40}"
	once   = "{stepWeight: 50, maxWeight: 50}"
	chosen = `{iterations: 2, match: [{headers: {x-user: {exact: insider}}}]}`

	// What holds a release: before its users, and before its end.
	moreUsers, promotion = flaggerv1.ConfirmTrafficIncreaseHook, flaggerv1.ConfirmPromotionHook
)

// at is a gate that is shut from a weight on.
func at(hook flaggerv1.HookType, weight int) map[flaggerv1.HookType]int {
	return map[flaggerv1.HookType]int{hook: weight}
}

// whileMirrored shuts a gate as long as the canary gets copies of requests.
const whileMirrored = -1

// mirrored reports whether the first controller is stopped while it does.
func (a app) mirrored() bool { return a.closed[flaggerv1.RolloutHook] == whileMirrored }

const (
	fromStart, fromFirstUsers, fromDeletion = "start", "users", "deletion"

	initialized, progressing, waits = flaggerv1.CanaryPhaseInitialized, flaggerv1.CanaryPhaseProgressing, flaggerv1.CanaryPhaseWaitingPromotion
	succeeded, failed               = flaggerv1.CanaryPhaseSucceeded, flaggerv1.CanaryPhaseFailed
)

// apps has every phase, and every strategy that leaves something else behind.
var apps = []app{
	{name: "initializing", analysis: steps, roomless: fromStart, phase: flaggerv1.CanaryPhaseInitializing, ends: initialized},
	{name: "initialized", analysis: steps, phase: initialized, ends: initialized},
	{
		name:     "waiting",
		analysis: once,
		release:  true,
		closed:   at(flaggerv1.ConfirmRolloutHook, 0),
		phase:    flaggerv1.CanaryPhaseWaiting,
		ends:     succeeded,
	},
	{name: "progressing", analysis: steps, release: true, closed: at(moreUsers, 20), phase: progressing, weight: 20, ends: succeeded},
	{name: "waiting-promotion", analysis: once, release: true, closed: at(promotion, 50), phase: waits, weight: 50, ends: succeeded},
	{
		name:     "promoting",
		analysis: once,
		release:  true,
		roomless: fromFirstUsers,
		phase:    flaggerv1.CanaryPhasePromoting,
		weight:   50,
		ends:     succeeded,
	},
	{
		name:     "finalising",
		analysis: once,
		release:  true,
		roomless: fromFirstUsers,
		phase:    flaggerv1.CanaryPhaseFinalising,
		late:     true,
		ends:     succeeded,
	},
	{name: "shifting", analysis: "{interval: 4s, stepWeight: 50, maxWeight: 50, " +
		"stepWeightPromotion: 20}", release: true, roomless: fromFirstUsers,
		phase: flaggerv1.CanaryPhasePromoting, late: true, ends: succeeded},
	{name: "succeeded", analysis: once, release: true, phase: succeeded, ends: succeeded},
	{name: "failed", analysis: once, release: true, quality: "bad", phase: failed, ends: failed},
	{name: "reverted", provider: "kubernetes", analysis: "{iterations: 1}", spec: "{revertOnDeletion: true}", phase: initialized},
	{
		name:     "terminating",
		provider: "kubernetes",
		analysis: "{iterations: 1}",
		spec:     "{revertOnDeletion: true}",
		roomless: fromDeletion,
		phase:    flaggerv1.CanaryPhaseTerminating,
	},

	{
		name:       "chosen",
		analysis:   chosen,
		release:    true,
		closed:     at(flaggerv1.RolloutHook, 100),
		phase:      progressing,
		weight:     100,
		iterations: 1,
		ends:       succeeded,
	},
	{
		name:       "green",
		provider:   "kubernetes",
		analysis:   "{iterations: 2}",
		release:    true,
		closed:     at(flaggerv1.RolloutHook, 0),
		phase:      progressing,
		iterations: 1,
		ends:       succeeded,
	},
	{name: "switched", analysis: "{iterations: 1}", release: true, closed: at(promotion, 100), phase: waits, weight: 100, ends: succeeded},
	{name: "sticky", analysis: "{stepWeight: 20, maxWeight: 40, sessionAffinity: {cookieName: sticky, " +
		"primaryCookieName: stay}}", release: true,
		closed: at(moreUsers, 20), phase: progressing, weight: 20, ends: succeeded},
	{
		name:     "configured",
		analysis: steps,
		env:      configured,
		release:  true,
		config:   true,
		closed:   at(moreUsers, 20),
		phase:    progressing,
		weight:   20,
		ends:     succeeded,
	},
	{name: "configured-rest", analysis: once, env: configured, release: true, config: true, phase: succeeded, ends: succeeded},
	{
		name:     "scaled",
		analysis: once,
		spec:     autoscaled,
		release:  true,
		closed:   at(moreUsers, 50),
		phase:    progressing,
		weight:   50,
		ends:     succeeded,
	},
	{name: "scaled-rest", analysis: once, spec: autoscaled, release: true, phase: succeeded, ends: succeeded},
	{name: "queued", analysis: once, spec: queued, release: true, closed: at(moreUsers, 50), phase: progressing, weight: 50, ends: succeeded},
	{name: "queued-rest", analysis: once, spec: queued, release: true, phase: succeeded, ends: succeeded},
	{name: "meshed", provider: "istio", service: "{hosts: [meshed.example.com]}", analysis: steps, release: true,
		closed: at(moreUsers, 20), phase: progressing, weight: 20, ends: succeeded},
	{name: "mirrored", analysis: "{iterations: 2, mirror: true}", release: true,
		closed: at(flaggerv1.RolloutHook, whileMirrored), phase: progressing, iterations: 1, ends: succeeded},
	{name: "shadowed", provider: "istio", service: "{hosts: [shadowed.example.com]}",
		analysis: "{stepWeight: 20, maxWeight: 40, mirror: true}", release: true,
		closed: at(flaggerv1.RolloutHook, whileMirrored), phase: progressing, ends: succeeded},
	{
		name:     "fronted",
		kind:     "Service",
		analysis: steps,
		release:  true,
		closed:   at(moreUsers, 20),
		phase:    progressing,
		weight:   20,
		ends:     succeeded,
	},
	{name: "fronted-rest", kind: "Service", analysis: once, release: true, phase: succeeded, ends: succeeded},
	{
		name:     "revised",
		kind:     "Knative",
		provider: "knative",
		analysis: steps,
		release:  true,
		closed:   at(moreUsers, 20),
		phase:    progressing,
		weight:   20,
		ends:     succeeded,
	},
	{name: "revised-rest", kind: "Knative", provider: "knative", analysis: once, release: true, phase: succeeded, ends: succeeded},
	{name: "nodes", kind: "DaemonSet", provider: "kubernetes", analysis: "{iterations: 1}", release: true, phase: succeeded, ends: succeeded},
}

const (
	configured = `[{name: MOOD, valueFrom: {configMapKeyRef: {name: {app}, key: mood}}}, {name: TOKEN, ` +
		`valueFrom: {secretKeyRef: {name: {app}, key: token}}}]`
	autoscaled = `{autoscalerRef: {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: {app}}}`
	queued     = `{autoscalerRef: {apiVersion: keda.sh/v1alpha1, kind: ScaledObject, name: {app}}}`
)

// target is an application as its users had it before there was a Canary.
const target = `
apiVersion: v1
kind: ConfigMap
metadata: {name: {app}, namespace: {ns}}
data: {mood: calm}
---
apiVersion: v1
kind: Secret
metadata: {name: {app}, namespace: {ns}}
stringData: {token: s3cr3t}
---
apiVersion: v1
kind: Service
metadata: {name: {app}, namespace: {ns}}
spec: {{leads}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: {workload}
metadata: {name: {app}, namespace: {ns}}
spec:
  {replicas}
  selector: {matchLabels: {app: {app}}}
  template:
    metadata: {labels: {app: {app}}}
    spec:
      nodeSelector: {{room}: open}
      terminationGracePeriodSeconds: 1
      containers: [{name: app, image: "app:1", env: {env}, ports: [{name: http, containerPort: 8080}]}]
`

// knative is one that Knative serves.
const knative = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: {app}, namespace: {ns}}
spec: {template: {metadata: {labels: {app: {app}}}, spec: {containers: [{name: app, image: "app:1", resources: {}}]}}}
`

// manifest is the target of an app and what comes with it.
func (a app) manifest() string {
	if a.kind == "Knative" {
		return knative
	}
	return target + autoscalers[a.spec]
}

// autoscalers are what [autoscaled] and [queued] name.
var autoscalers = map[string]string{autoscaled: `
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: {app}, namespace: {ns}}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {app}}
  minReplicas: 1
  maxReplicas: 4
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
`, queued: `
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: {app}, namespace: {ns}}
spec:
  scaleTargetRef: {name: {app}}
  minReplicaCount: 1
  triggers: [{type: prometheus, metadata: {query: 'rate(x{app="{app}"}[1m])'}}]
`}

// templates are what canaries are judged by: constants, since it is not judging
// that is tested here.
const templates = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway, namespace: {ns}}
spec: {gatewayClassName: any, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: good, namespace: {ns}}
spec: {provider: {type: prometheus, address: "{prometheus}"}, query: vector(100)}
---
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: bad, namespace: {ns}}
spec: {provider: {type: prometheus, address: "{prometheus}"}, query: vector(0)}
`

// render fills in what an app says.
func (a app) render(ns, text string) string {
	workload, replicas, leads, env := "Deployment", "replicas: 1", "selector: {app: {app}}", "[]"
	switch a.kind {
	case "DaemonSet":
		workload, replicas = a.kind, ""
	case "Service": // of the only type that Flagger can copy
		leads = "type: ExternalName, externalName: one.example.com"
	}
	if a.env != "" {
		env = a.env
	}
	text = strings.ReplaceAll(text, "{leads}", leads)
	return strings.NewReplacer("{workload}", workload, "{replicas}", replicas, "{ns}", ns, "{app}", a.name, "{room}", nodeLabel(ns, a.name),
		"{env}", strings.ReplaceAll(env, "{app}", a.name), "{prometheus}", the.Prometheus).Replace(text)
}
