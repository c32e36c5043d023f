// Package beside runs Sluice beside Flux's own controllers, unmodified.
//
// Whoever serves which part of the chain, an image that was pushed has to reach the
// cluster although every interval is an hour and nobody sends a webhook: what Sluice
// does not serve, it asks. The Flux release has no other way either to learn of a
// commit before the interval of the GitRepository is over.
package beside

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/test/harness"
)

// patience is how long a release may take; it is the intervals that it must not
// wait for.
const patience = time.Minute

const objects = `
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

const manifest = `apiVersion: v1
kind: ConfigMap
metadata: {name: app}
data:
  tag: 1.0.0 # {"$imagepolicy": "$NS:app:tag"}
`

func TestTheChainNeedsNoIntervalWhoeverServesWhichPart(t *testing.T) {
	p := harness.Installed(t)
	remove, err := p.InstallFlux(t.Context(), "source-controller", "kustomize-controller")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(context.Background()) })
	for name, tc := range map[string]struct {
		flux   []string // Flux's controllers
		sluice []string // --controllers, for each process
	}{
		"Flux fetches and applies":          {[]string{"source-controller", "kustomize-controller"}, []string{"image,canary"}},
		"Flux fetches":                      {[]string{"source-controller"}, []string{"image,kustomize,canary"}},
		"Flux applies":                      {[]string{"kustomize-controller"}, []string{"image,source,canary"}},
		"another process of Sluice does it": {nil, []string{"image", "source,kustomize"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := setup(t, p, tc.flux, tc.sluice)
			c.applied(t, "1.0.0")
			for _, tag := range []string{"1.1.0", "1.2.0"} {
				c.push(t, tag)
				c.applied(t, tag)
			}
		})
	}
}

// chain is a chain in a namespace of its own.
type chain struct {
	*harness.Playground
	namespace, image string
	processes        []*harness.Process
}

func setup(t *testing.T, p *harness.Playground, flux, sluice []string) *chain {
	t.Helper()
	namespace := p.Room(t, "beside-", nil)
	c := &chain{Playground: p, namespace: namespace, image: namespace + "/app"}
	if _, err := p.PushImage(t.Context(), c.image, "1.0.0", nil); err != nil {
		t.Fatal(err)
	}
	repo, err := p.NewRepo(t.Context(), namespace, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Commit(t.Context(), "Begin", map[string][]byte{"app.yaml": []byte(c.fill(manifest, repo))}); err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(t.Context(), []byte(c.fill(objects, repo))); err != nil {
		t.Fatal(err)
	}
	for _, name := range flux {
		process, err := p.StartFlux(t.Context(), name, namespace, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		c.keep(t, process)
	}
	for _, groups := range sluice {
		controller, err := p.StartController(t.Context(), t.TempDir(), "--controllers", groups, "--watch-namespace", namespace)
		if err != nil {
			t.Fatal(err)
		}
		c.keep(t, controller.Process)
	}
	return c
}

func (c *chain) keep(t *testing.T, process *harness.Process) {
	c.processes = append(c.processes, process)
	t.Cleanup(process.Stop)
}

func (c *chain) fill(text string, repo *harness.Repo) string {
	return strings.NewReplacer("$NS", c.namespace, "$USER", c.GitUsername, "$PASSWORD", c.GitPassword,
		"$URL", repo.URL, "$IMAGE", c.Registry+"/"+c.image).Replace(text)
}

// push pushes an image, and tells of it as a Receiver of Flux's would.
func (c *chain) push(t *testing.T, tag string) {
	t.Helper()
	if _, err := c.PushImage(t.Context(), c.image, tag, nil); err != nil {
		t.Fatal(err)
	}
	repository := &imagev1.ImageRepository{}
	repository.Namespace, repository.Name = c.namespace, "app"
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, time.Now().Format(time.RFC3339Nano))
	if err := c.Client.Patch(t.Context(), repository, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		t.Fatal(err)
	}
}

// applied waits until the cluster has the tag.
func (c *chain) applied(t *testing.T, tag string) {
	t.Helper()
	took, err := harness.Eventually(t.Context(), "applying "+tag, patience, func(ctx context.Context) (bool, string) {
		settings := &corev1.ConfigMap{}
		err := c.Client.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: "app"}, settings)
		return err == nil && settings.Data["tag"] == tag, fmt.Sprint(settings.Data, err)
	})
	if err != nil {
		for _, process := range c.processes {
			t.Logf("%s:\n%s", process.Log(), process.Tail(3000))
		}
		t.Fatal(err)
	}
	t.Logf("%s was applied after %s", tag, took.Round(time.Millisecond))
}
