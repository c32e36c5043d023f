// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/harness"
)

// promotionKills is few enough for every run of all tests; -promotion-kills=100 takes about
// four minutes.
var promotionKills = flag.Int("promotion-kills", 20, "how often the controller is killed while it promotes")

// promoted are the stages of the pipeline, in their order.
var promoted = []string{"staging", "canary", "production"}

// unfit is the end of a tag that is too long for the label that production has it in: the
// API server takes it in all stages but the last one.
var unfit = "-" + strings.Repeat("x", 70)

// TestEachVersionLandsOnceInEachStageWhateverIsKilled has versions go through three stages.
// Every third one fails in the last of them, and is taken back there.
func TestEachVersionLandsOnceInEachStageWhateverIsKilled(t *testing.T) {
	t.Parallel()
	p := newPromotion(t)
	t.Logf("-seed %d", chance())
	sluice, err := p.StartController(t.Context(), t.TempDir(),
		"--controllers=image,source,kustomize,promotion", "--watch-namespace", p.namespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sluice.Stop)
	k := killer{sluice: sluice, random: rand.New(rand.NewPCG(chance(), 3)), left: *promotionKills}
	p.await(t, "1.0.0", "1.0.0")
	want, trusted := []string{"Begin"}, "1.0.0"
	for minor := 1; k.left > 0; minor++ {
		tag := fmt.Sprintf("1.%d.0", minor)
		if minor%3 == 2 {
			tag += unfit
		}
		for _, stage := range promoted {
			want = append(want, "Promote "+stage+" to app "+tag)
		}
		production := tag
		if strings.HasSuffix(tag, unfit) {
			production = trusted
			want = append(want, "Roll back production to app "+trusted)
		}
		p.push(t, tag)
		k.until(t, func() error { return p.verified(t.Context(), tag, production) })
		checkHistory(t, p.repo, want)
		trusted = production
		t.Logf("%s ended, %d kills left", tag, k.left)
	}
}

// promotion is a pipeline of three stages with all that it needs.
type promotion struct {
	*harness.Playground
	repo      *harness.Repo
	namespace string
}

func newPromotion(t *testing.T) *promotion {
	t.Helper()
	p := &promotion{Playground: harness.Installed(t)}
	p.namespace = p.NewNamespace(t, "crash-promotion-", nil)
	repo, err := p.NewRepo(t.Context(), p.namespace, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p.repo = repo
	files, objects := map[string][]byte{}, p.objects()
	for _, stage := range promoted {
		label := ""
		if stage == "production" {
			label = fmt.Sprintf("\n  labels:\n    version: 1.0.0 # {\"$imagepolicy\": \"%s:app:tag\"}", p.namespace)
		}
		files[stage+"/app.yaml"] = fmt.Appendf(nil,
			"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s%s\ndata:\n  tag: 1.0.0 # {\"$imagepolicy\": \"%s:app:tag\"}\n",
			stage, label, p.namespace)
		objects += fmt.Sprintf(`---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: %[2]s, namespace: %[1]s}
spec: {interval: 1h, path: ./%[2]s, prune: true, sourceRef: {kind: GitRepository, name: fleet}, targetNamespace: %[1]s}
`, p.namespace, stage)
	}
	if _, err := repo.Commit(t.Context(), "Begin", files); err != nil {
		t.Fatal(err)
	}
	if _, err := p.PushImage(t.Context(), p.namespace+"/app", "1.0.0", nil); err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(t.Context(), []byte(objects)); err != nil {
		t.Fatal(err)
	}
	return p
}

// objects are all but the Kustomizations. A version that is not verified within the timeout
// failed: no good one takes that long, however often the controller is killed meanwhile.
func (p *promotion) objects() string {
	return p.SourceManifest(p.namespace, "fleet", p.repo) + fmt.Sprintf(`
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: app, namespace: %[1]s}
spec: {image: %[2]s/%[1]s/app, interval: 1h, insecure: true}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: app, namespace: %[1]s}
spec: {imageRepositoryRef: {name: app}, policy: {semver: {range: ">=1.0.0-0"}}}
---
apiVersion: sluice.dev/v1alpha1
kind: Pipeline
metadata: {name: shop, namespace: %[1]s}
spec:
  interval: 1h
  artifacts: [{name: app, imagePolicyRef: {name: app}}]
  sourceRef: {kind: GitRepository, name: fleet}
  stages:
  - name: staging
    write: {commit: {}, path: ./staging}
    ready: [{kind: Kustomization, name: staging}]
  - name: canary
    after: {stages: [staging]}
    write: {commit: {}, path: ./canary}
    ready: [{kind: Kustomization, name: canary}]
  - name: production
    after: {stages: [canary]}
    write: {commit: {}, path: ./production}
    ready: [{kind: Kustomization, name: production}]
    verifyTimeout: 20s
`, p.namespace, p.Registry)
}

// push releases a version, and says so as a webhook would.
func (p *promotion) push(t *testing.T, tag string) {
	t.Helper()
	if _, err := p.PushImage(t.Context(), p.namespace+"/app", tag, nil); err != nil {
		t.Fatal(err)
	}
	repo := &imagev1.ImageRepository{}
	repo.Namespace, repo.Name = p.namespace, "app"
	if _, err := p.RequestReconcile(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
}

func (p *promotion) await(t *testing.T, tag, production string) {
	t.Helper()
	if err := p.verified(t.Context(), tag, production); err != nil {
		t.Fatal(err)
	}
}

// verified waits until all stages are verified with a version, production perhaps with
// another one.
func (p *promotion) verified(ctx context.Context, tag, production string) error {
	_, err := harness.Eventually(ctx, tag+" has gone through all stages", harness.Patience, func(ctx context.Context) (bool, string) {
		var pipeline sluicev1.Pipeline
		if err := p.Client.Get(ctx, client.ObjectKey{Namespace: p.namespace, Name: "shop"}, &pipeline); err != nil {
			return false, err.Error()
		}
		stages := pipeline.Status.Stages
		ok := len(stages) == len(promoted)
		for _, stage := range stages {
			want := tag
			if stage.Name == "production" {
				want = production
			}
			ok = ok && stage.Verified != nil && stage.Has != nil && stage.Has.Versions[0].Tag == want
		}
		failed := production == tag ||
			slices.ContainsFunc(pipeline.Status.Quarantined, func(q sluicev1.Quarantine) bool { return q.Bundle.Versions[0].Tag == tag })
		return ok && failed, fmt.Sprintf("%+v", pipeline.Status)
	})
	return err
}

// checkHistory compares the commits of a repository with what they would be without a kill.
func checkHistory(t *testing.T, repo *harness.Repo, wantOldestFirst []string) {
	t.Helper()
	log, err := repo.Log(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(log)
	if diff := cmp.Diff(wantOldestFirst, log); diff != "" {
		t.Fatalf("commits differ (-want +got):\n%s", diff)
	}
}
