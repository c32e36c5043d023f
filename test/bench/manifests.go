// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"text/template"

	"github.com/sluice-cd/sluice/test/harness"
)

// sourceManifests is a namespace with a GitRepository and its credentials. The
// intervals are long, so that nothing measured can be a poll.
var sourceManifests = template.Must(template.New("source").Parse(`
apiVersion: v1
kind: Namespace
metadata: {name: {{.Name}}}
---
apiVersion: v1
kind: Secret
metadata: {name: git, namespace: {{.Name}}}
stringData: {username: {{printf "%q" .User}}, password: {{printf "%q" .Pass}}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: repo, namespace: {{.Name}}}
spec:
  url: {{.URL}}
  interval: 1h
  ref: {branch: main}
  secretRef: {name: git}
`))

// releaseManifests is the image side of the chain, and one Kustomization.
var releaseManifests = template.Must(template.New("release").Parse(`
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: app, namespace: {{.Name}}}
spec: {image: {{.Image}}, interval: 1h, insecure: true}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: app, namespace: {{.Name}}}
spec:
  imageRepositoryRef: {name: app}
  policy: {semver: {range: ">=1.0.0"}}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageUpdateAutomation
metadata: {name: app, namespace: {{.Name}}}
spec:
  interval: 1h
  sourceRef: {kind: GitRepository, name: repo}
  git:
    commit:
      author: {name: Sluice, email: sluice@example.com}
      messageTemplate: "Update images"
    push: {branch: main}
  update: {path: ., strategy: Setters}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: {{.Name}}}
spec:
  interval: 1h
  path: ./deploy
  prune: true
  targetNamespace: {{.Name}}
  sourceRef: {kind: GitRepository, name: repo}
`))

// hookManifests let a registry tell of its pushes.
var hookManifests = template.Must(template.New("hook").Parse(`
apiVersion: v1
kind: Secret
metadata: {name: hook, namespace: {{.Name}}}
stringData: {token: bench}
---
apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata: {name: hook, namespace: {{.Name}}}
spec:
  type: generic
  secretRef: {name: hook}
  resources: [{kind: ImageRepository, name: app}]
`))

// fleetManifests is one Kustomization of the fleet.
var fleetManifests = template.Must(template.New("fleet").Parse(`
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: {{.App}}, namespace: {{.Name}}}
spec:
  interval: 1h
  path: ./apps/{{.App}}
  prune: true
  wait: true
  targetNamespace: {{.Name}}
  sourceRef: {kind: GitRepository, name: repo}
{{- if .After}}
  dependsOn: [{name: {{.After}}}]
{{- end}}
`))

// appManifests is what one Kustomization of the fleet applies.
var appManifests = template.Must(template.New("app").Parse(`apiVersion: v1
kind: ServiceAccount
metadata: {name: {{.App}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{.App}}}
spec:
  replicas: 0
  selector: {matchLabels: {app: {{.App}}}}
  template:
    metadata: {labels: {app: {{.App}}}}
    spec:
      serviceAccountName: {{.App}}
      containers: [{name: app, image: "registry.example/app:1.0.0", ports: [{name: http, containerPort: 8080}]}]
---
apiVersion: v1
kind: Service
metadata: {name: {{.App}}, annotations: {example.com/revision: "{{.Revision}}"}}
spec:
  selector: {app: {{.App}}}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: {{.App}}}
spec:
  rules:
  - host: {{.App}}.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: {{.App}}, port: {name: http}}}}]}
`))

// pipelineManifests is a policy, whose status the benchmark writes, and a Pipeline of three
// stages.
var pipelineManifests = template.Must(template.New("pipeline").Parse(`
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: {{.App}}, namespace: {{.Name}}}
spec: {imageRepositoryRef: {name: {{.App}}}, policy: {semver: {range: ">=1.0.0"}}}
---
apiVersion: sluice.dev/v1alpha1
kind: Pipeline
metadata: {name: {{.App}}, namespace: {{.Name}}}
spec:
  interval: 1h
  artifacts: [{name: app, imagePolicyRef: {name: {{.App}}}}]
  sourceRef: {kind: GitRepository, name: repo}
  stages:
  - {name: staging, write: {commit: {}, path: ./staging/{{.App}}}}
  - {name: canary, after: {stages: [staging]}, write: {commit: {}, path: ./canary/{{.App}}}}
  - {name: production, after: {stages: [canary]}, write: {commit: {}, path: ./production/{{.App}}}}
`))

// values fill the templates.
type values struct {
	Name, URL, User, Pass, Image, App, Revision, After string
}

func render(t *template.Template, v values) []byte {
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		panic(err) // the templates are constants of this package
	}
	return b.Bytes()
}

func valuesOf(p *harness.Playground, name string, repo *harness.Repo) values {
	return values{Name: name, URL: repo.URL, User: p.GitUsername, Pass: p.GitPassword, Image: fmt.Sprintf("%s/%s", p.Registry, name)}
}
