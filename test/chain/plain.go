// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/test/harness"
)

// Plain is a chain from an image to a ConfigMap, without a canary. Its intervals are
// an hour: what happens sooner, happens because one step started the next.
type Plain struct {
	*harness.Playground
	Namespace string
	Repo      *harness.Repo
}

// plainObjects all have the name app.
const plainObjects = `
apiVersion: v1
kind: Secret
metadata: {name: git, namespace: $NS}
stringData: {username: $USER, password: $PASSWORD}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: app, namespace: $NS}
spec:
  interval: 1h
  url: $URL
  ref: {branch: main}
  secretRef: {name: git}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: $NS}
spec:
  interval: 1h
  prune: true
  targetNamespace: $NS
  sourceRef: {kind: GitRepository, name: app}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: app, namespace: $NS}
spec: {image: $IMAGE, interval: 1h, insecure: true}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: app, namespace: $NS}
spec:
  imageRepositoryRef: {name: app}
  policy: {semver: {range: 1.x}}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageUpdateAutomation
metadata: {name: app, namespace: $NS}
spec:
  interval: 1h
  sourceRef: {kind: GitRepository, name: app}
  git:
    commit: {author: {name: bot, email: bot@example.com}}
  update: {path: .}
`

const plainManifest = `apiVersion: v1
kind: ConfigMap
metadata: {name: app}
data:
  tag: 1.0.0 # {"$imagepolicy": "$NS:app:tag"}
`

// SetupPlain makes the repository, pushes the image [First] and applies the chain to
// a namespace that is there. The clone is kept under the folder work.
func SetupPlain(ctx context.Context, p *harness.Playground, namespace, work string) (*Plain, error) {
	c := &Plain{Playground: p, Namespace: namespace}
	if _, err := p.PushImage(ctx, c.image(), First, nil); err != nil {
		return nil, err
	}
	var err error
	if c.Repo, err = p.NewRepo(ctx, namespace, work); err != nil {
		return nil, err
	}
	if _, err := c.Repo.Commit(ctx, "Begin with "+First, map[string][]byte{"app.yaml": c.fill(plainManifest)}); err != nil {
		return nil, err
	}
	return c, p.Apply(ctx, c.fill(plainObjects))
}

func (c *Plain) image() string { return c.Namespace + "/app" }

func (c *Plain) fill(text string) []byte {
	return []byte(strings.NewReplacer("$NS", c.Namespace, "$USER", c.GitUsername, "$PASSWORD", c.GitPassword,
		"$URL", c.Repo.URL, "$IMAGE", c.Registry+"/"+c.image()).Replace(text))
}

// Release pushes an image, and tells of it as a Receiver would.
func (c *Plain) Release(ctx context.Context, tag string) error {
	if _, err := c.PushImage(ctx, c.image(), tag, nil); err != nil {
		return err
	}
	repository := &imagev1.ImageRepository{}
	repository.Namespace, repository.Name = c.Namespace, "app"
	_, err := c.RequestReconcile(ctx, repository)
	return err
}

// Applied waits until the cluster has the tag, and returns how long that took.
func (c *Plain) Applied(ctx context.Context, tag string) (time.Duration, error) {
	return harness.Eventually(ctx, "applying "+tag, harness.Patience, func(ctx context.Context) (bool, string) {
		settings := &corev1.ConfigMap{}
		err := c.Client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: "app"}, settings)
		return err == nil && settings.Data["tag"] == tag, fmt.Sprint(settings.Data, err)
	})
}
