// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"fmt"
	"testing"
	"time"
)

// broken are objects that no retry can help.
const broken = `
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: scheme, namespace: flux-traps}
spec: {image: "https://registry.example.com/app", interval: 1h}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: tagged, namespace: flux-traps}
spec: {image: "registry.example.com/app:1.0.0", interval: 1h}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: range, namespace: flux-traps}
spec: {imageRepositoryRef: {name: podinfo}, policy: {semver: {range: "not a range"}}}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: pattern, namespace: flux-traps}
spec: {imageRepositoryRef: {name: podinfo}, filterTags: {pattern: "("}, policy: {semver: {range: "1.x"}}}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageUpdateAutomation
metadata: {name: template, namespace: flux-traps}
spec:
  interval: 1h
  sourceRef: {kind: GitRepository, name: repo}
  git: {checkout: {ref: {branch: main}}, commit: {author: {email: a@example.com}, messageTemplate: "{{ .Nope"}}
`

func TestTerminalFailuresFailAtOnce(t *testing.T) {
	t.Parallel()
	s := newStory(t, "flux-traps")
	s.clone(t)
	s.push(t, "1.0.0")
	s.tell(t, append(source(), step{
		does: "an image repository to choose from",
		run:  "create image repository podinfo --image={image} --interval=1h",
	}))
	s.apply(t, broken)
	at := func(does, run, message string) step {
		return step{does: does, run: "reconcile " + run, code: 1, within: 2 * time.Minute, err: []string{message}}
	}
	s.tell(t, []step{
		at("an image with a scheme", "image repository scheme", "URL scheme"),
		at("an image with a tag", "image repository tagged", "tag"),
		at("a policy that cannot be parsed", "image policy range", "spec.policy.semver"),
		at("a pattern that cannot be parsed", "image policy pattern", "spec.filterTags.pattern"),
		at("a template that cannot be parsed", "image update template", "spec.git.commit.messageTemplate"),
		{
			does: "creating what cannot work fails as soon", code: 1, within: 2 * time.Minute,
			run: "create image policy wrong --image-ref=podinfo --select-semver=nonsense",
			err: []string{"✔ ImagePolicy created", "✗ invalid policy: spec.policy.semver"},
		},
		{
			does: "get shows the reason", run: "get image policy wrong", out: []string{"wrong False invalid policy: spec.policy.semver"},
		},
		{
			does: "mending it is enough", run: "create image policy wrong --image-ref=podinfo --select-semver=1.x",
			err: []string{"✔ ImagePolicy updated", "✔ ImagePolicy reconciliation completed"},
		},
		{does: "a broken object can be suspended", run: "suspend image policy range", err: []string{"suspended"}},
		{
			does: "and resumed, which fails at once again", run: "resume image policy range", code: 1,
			within: 2 * time.Minute, err: []string{"spec.policy.semver"},
		},
		{does: "and deleted", run: "delete image policy range -s", err: []string{"deleted"}},
	})
}

// TestReconcilingRightAfterCreating races the first reconcile: the CLI reads
// status.lastScanResult, latestRef and artifact as soon as Ready is True.
func TestReconcilingRightAfterCreating(t *testing.T) {
	t.Parallel()
	s := newStory(t, "flux-race")
	s.clone(t)
	s.push(t, "1.0.0")
	s.tell(t, source()[:1])
	for i := range 5 {
		name := fmt.Sprintf("race-%d", i)
		s.apply(t, fmt.Sprintf(race, name))
		for _, kind := range []string{"image policy", "image repository", "source git"} {
			s.tell(t, []step{{does: "reconcile a new " + kind, run: "reconcile " + kind + " " + name, err: []string{"✔"}}})
		}
	}
}

const race = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: %[1]s, namespace: flux-race}
spec: {interval: 1h, url: "{git}/flux-race.git", ref: {branch: main}, secretRef: {name: auth}}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: %[1]s, namespace: flux-race}
spec: {imageRepositoryRef: {name: %[1]s}, policy: {semver: {range: "1.x"}}}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: %[1]s, namespace: flux-race}
spec: {image: "{image}", interval: 1h}
`

func TestKindsThatNobodyServesAreAnError(t *testing.T) {
	t.Parallel()
	s := newStory(t, "flux-unserved")
	var steps []step
	for _, kind := range []string{"sources helm", "sources chart", "helmreleases"} {
		steps = append(steps, step{does: kind, run: "get " + kind, code: 1, err: []string{"no matches for"}})
	}
	s.tell(t, append(steps, step{does: "all that there is", run: "get all"}))
}
