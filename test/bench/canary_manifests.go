// SPDX-License-Identifier: Apache-2.0

package main

import "text/template"

// canaryNamespace has what all canaries of a case share. The metric is a constant:
// it is the asking that is measured.
var canaryNamespace = template.Must(template.New("namespace").Parse(`
apiVersion: v1
kind: Namespace
metadata: {name: {{.Name}}}
---
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: constant, namespace: {{.Name}}}
spec:
  provider: {type: prometheus, address: {{printf "%q" .URL}}}
  query: vector(100)
`))

// canaryManifests is one canary and its target: three steps of ten seconds, the
// shortest that Flagger has.
var canaryManifests = template.Must(template.New("canary").Parse(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{.App}}, namespace: {{.Name}}}
spec:
  replicas: 1
  selector: {matchLabels: {app: {{.App}}}}
  template:
    metadata: {labels: {app: {{.App}}}, annotations: {example.com/revision: "{{.Revision}}"}}
    spec:
      containers: [{name: app, image: "registry.example/app:1.0.0", ports: [{name: http, containerPort: 8080}]}]
---
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: {{.App}}, namespace: {{.Name}}}
spec:
  provider: gatewayapi:v1
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: {{.App}}}
  service: {port: 80, targetPort: http, hosts: [{{.App}}.example.com], gatewayRefs: [{name: gateway, namespace: {{.Name}}}]}
  analysis:
    interval: 10s
    threshold: 3
    stepWeight: 20
    maxWeight: 60
    metrics:
    - {name: constant, interval: 1m, thresholdRange: {min: 99}, templateRef: {name: constant}}
`))

// What one release lasts at least: three steps of ten seconds.
const (
	canarySteps    = 3
	canaryInterval = 10 // seconds
)
