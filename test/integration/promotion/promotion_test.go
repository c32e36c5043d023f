// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"fmt"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/harness"
)

// fleet is a repository with a staging and a production, and a pipeline between them.
type fleet struct {
	*testing.T
	p         *harness.Playground
	repo      *harness.Repo
	namespace string
	sluice    *harness.Controller
}

func newFleet(t *testing.T, objects string, args ...string) *fleet {
	t.Helper()
	f := &fleet{T: t, p: harness.Installed(t)}
	f.namespace = f.p.NewNamespace(t, "promotion-", nil)
	repo, err := f.p.NewRepo(t.Context(), f.namespace, t.TempDir())
	f.must(err)
	f.repo = repo
	files := map[string][]byte{}
	for _, stage := range []string{"staging", "production"} {
		files[stage+"/app.yaml"] = fmt.Appendf(nil, "{apiVersion: v1, kind: ConfigMap, metadata: {name: %s}}\n---\n"+
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %[1]s-version}\ndata:\n  tag: 1.0.0 # {\"$imagepolicy\": \"%s:app:tag\"}\n",
			stage, f.namespace)
	}
	_, err = repo.Commit(t.Context(), "Begin", files)
	f.must(err)
	f.push("1.0.0")
	f.apply(f.p.SourceManifest(f.namespace, "fleet", repo) + pipelineOfTwo + objects)
	f.sluice, err = f.p.StartController(t.Context(), t.TempDir(), append([]string{"--watch-namespace", f.namespace}, args...)...)
	f.must(err)
	t.Cleanup(f.sluice.Stop)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(f.sluice.Tail(6000))
		}
	})
	return f
}

// pipelineOfTwo promotes what a policy chooses from staging to production.
const pipelineOfTwo = `
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: app, namespace: NAMESPACE}
spec: {imageRepositoryRef: {name: app}, policy: {semver: {range: ">=1.0.0"}}}
---
apiVersion: sluice.dev/v1alpha1
kind: Pipeline
metadata: {name: shop, namespace: NAMESPACE}
spec:
  interval: 1h
  artifacts: [{name: app, imagePolicyRef: {name: app}}]
  sourceRef: {kind: GitRepository, name: fleet}
  stages:
  - name: staging
    write: {commit: {}, path: ./staging}
    ready: [{kind: Kustomization, name: staging}]
  - name: production
    after: {stages: [staging]}
    write: {commit: {}, path: ./production}
    ready: [{kind: Kustomization, name: production}]
---
`

// others are served by the other groups.
const others = `
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: app, namespace: NAMESPACE}
spec: {image: REGISTRY/NAMESPACE/app, interval: 1s, insecure: true}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: staging, namespace: NAMESPACE}
spec: {interval: 1h, path: ./staging, prune: true, sourceRef: {kind: GitRepository, name: fleet}, targetNamespace: NAMESPACE}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: production, namespace: NAMESPACE}
spec: {interval: 1h, path: ./production, prune: true, sourceRef: {kind: GitRepository, name: fleet}, targetNamespace: NAMESPACE}
`

func (f *fleet) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fleet) apply(objects string) {
	f.Helper()
	objects = strings.NewReplacer("NAMESPACE", f.namespace, "URL", f.repo.URL, "REGISTRY", f.p.Registry).Replace(objects)
	f.must(f.p.Apply(f.Context(), []byte(objects)))
}

func (f *fleet) push(tag string) {
	f.Helper()
	_, err := f.p.PushImage(f.Context(), f.namespace+"/app", tag, nil)
	f.must(err)
}

func (f *fleet) pipeline() *sluicev1.Pipeline {
	f.Helper()
	p := &sluicev1.Pipeline{}
	f.must(f.p.Client.Get(f.Context(), client.ObjectKey{Namespace: f.namespace, Name: "shop"}, p))
	return p
}

// pipelineBecomes waits until the pipeline is as it should be.
func (f *fleet) pipelineBecomes(what string, ok func(*sluicev1.Pipeline) bool) *sluicev1.Pipeline {
	f.Helper()
	return becomes(f.T, what, f.pipeline, ok)
}

// verified reports whether a stage has a version that is verified.
func verified(p *sluicev1.Pipeline, stage, tag string) bool {
	for _, s := range p.Status.Stages {
		if s.Name == stage {
			return s.Phase == sluicev1.StageVerified && s.Has != nil && s.Has.Versions[0].Tag == tag
		}
	}
	return false
}

func TestAVersionGoesFromStagingToProduction(t *testing.T) {
	f := newFleet(t, others)
	f.pipelineBecomes("both stages are verified with what they have", func(p *sluicev1.Pipeline) bool {
		return verified(p, "staging", "1.0.0") && verified(p, "production", "1.0.0")
	})
	f.push("1.1.0")
	f.pipelineBecomes("production has the new version", func(p *sluicev1.Pipeline) bool { return verified(p, "production", "1.1.0") })
	for _, stage := range []string{"staging", "production"} {
		text, err := f.repo.File(t.Context(), stage+"/app.yaml")
		f.must(err)
		if !strings.Contains(text, "tag: 1.1.0 #") {
			t.Errorf("the file of %s says %s", stage, text)
		}
		var applied corev1.ConfigMap
		f.must(f.p.Client.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: stage + "-version"}, &applied))
		if applied.Data["tag"] != "1.1.0" {
			t.Errorf("in the cluster %s is %v", stage, applied.Data)
		}
	}
	subjects, err := f.repo.Log(t.Context())
	f.must(err)
	if want := "Promote production to app 1.1.0"; subjects[0] != want || len(subjects) != 3 {
		t.Errorf("the log is %q, want %q on top of two more", subjects, want)
	}
}

// TestTheGroupAloneServesNothingElse: it makes no difference whose controllers serve the
// other kinds, and here nobody's do. The test says what they would.
func TestTheGroupAloneServesNothingElse(t *testing.T) {
	f := newFleet(t, others, "--controllers=promotion")
	head, err := f.repo.Head(t.Context())
	f.must(err)
	f.says(&kustomizev1.Kustomization{}, "staging", fmt.Sprintf(`"lastAppliedRevision":"main@sha1:%s"`, head))
	f.pipelineBecomes("staging is verified with what it has", func(p *sluicev1.Pipeline) bool { return verified(p, "staging", "1.0.0") })
	f.says(&imagev1.ImagePolicy{}, "app", fmt.Sprintf(`"latestRef":{"name":"%s/%s/app","tag":"1.1.0"}`, f.p.Registry, f.namespace))
	f.pipelineBecomes("staging has the new version", func(p *sluicev1.Pipeline) bool {
		return len(p.Status.Stages) == 2 && p.Status.Stages[0].Has != nil && p.Status.Stages[0].Has.Versions[0].Tag == "1.1.0"
	})
	for stage, want := range map[string]string{"staging": "tag: 1.1.0 #", "production": "tag: 1.0.0 #"} {
		text, err := f.repo.File(t.Context(), stage+"/app.yaml")
		f.must(err)
		if !strings.Contains(text, want) {
			t.Errorf("nobody applied 1.1.0 to staging, and %s says %s", stage, text)
		}
	}
	repo := &sourcev1.GitRepository{}
	f.must(f.p.Client.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: "fleet"}, repo))
	if repo.Annotations[meta.ReconcileRequestAnnotation] == "" {
		t.Error("nobody asked for the GitRepository to be fetched")
	}
	f.untouched()
}

// says writes a status as another controller would, that is Ready.
func (f *fleet) says(object client.Object, name, status string) {
	f.Helper()
	f.must(f.p.Client.Get(f.Context(), client.ObjectKey{Namespace: f.namespace, Name: name}, object))
	patch := fmt.Sprintf(`{"status":{%s,"observedGeneration":%d,"conditions":[{"type":"Ready","status":"True","reason":"Succeeded",`+
		`"message":"","lastTransitionTime":"2026-01-01T00:00:00Z","observedGeneration":%[2]d}]}}`, status, object.GetGeneration())
	f.must(f.p.Client.Status().Patch(f.Context(), object, client.RawPatch("application/merge-patch+json", []byte(patch))))
}

// untouched fails if an object of another group was reconciled.
func (f *fleet) untouched() {
	f.Helper()
	for name, gvk := range map[string]schema.GroupVersionKind{
		"app":        imagev1.GroupVersion.WithKind("ImageRepository"),
		"fleet":      sourcev1.GroupVersion.WithKind(sourcev1.GitRepositoryKind),
		"production": kustomizev1.GroupVersion.WithKind(kustomizev1.KustomizationKind),
	} {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(gvk)
		f.must(f.p.Client.Get(f.Context(), client.ObjectKey{Namespace: f.namespace, Name: name}, object))
		if status, _ := object.Object["status"].(map[string]any); fmt.Sprint(status) != "map[observedGeneration:-1]" ||
			len(object.GetFinalizers()) > 0 {
			f.Errorf("%s was reconciled: %v, finalizers %v", gvk.Kind, status, object.GetFinalizers())
		}
	}
}
