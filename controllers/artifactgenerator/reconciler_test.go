// SPDX-License-Identifier: Apache-2.0

package artifactgenerator

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/source"
	"github.com/sluice-cd/sluice/source/sourcetest"
	"github.com/sluice-cd/sluice/test/make"
)

// fixture is a generator of two artifacts of one repository, and an API server.
type fixture struct {
	*testing.T
	objects client.WithWatch
	clock   *clocktesting.FakeClock
	dir     string
	store   *source.Store
	run     reconcile.Reconciler
	r       *Reconciler
	events  []reconciler.Event
	writes  []string // of ExternalArtifacts
	obj     *generatorv1.ArtifactGenerator
}

// Event implements reconciler.Recorder.
func (f *fixture) Event(_ client.Object, e reconciler.Event) { f.events = append(f.events, e) }

func setup(t *testing.T, changes ...func(*generatorv1.ArtifactGenerator)) *fixture {
	t.Helper()
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, dir: t.TempDir(), clock: clocktesting.NewFakeClock(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))}
	f.obj = make.ArtifactGenerator("apps", "split", append([]func(*generatorv1.ArtifactGenerator){func(g *generatorv1.ArtifactGenerator) {
		g.UID = "split-uid"
		g.Spec.OutputArtifacts = []generatorv1.OutputArtifact{
			make.Output("shop", "@fleet/shop/**", "@artifact/"), make.Output("blog", "@fleet/blog/**", "@artifact/"),
		}
	}}, changes...)...)
	f.objects = fake.NewClientBuilder().WithScheme(scheme).WithObjects(f.obj).
		WithStatusSubresource(&generatorv1.ArtifactGenerator{}, &sourcev1.ExternalArtifact{}, &sourcev1.GitRepository{}).
		WithInterceptorFuncs(interceptor.Funcs{
			Apply: func(ctx context.Context, c client.WithWatch, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
				f.writes = append(f.writes, "object")
				return c.Apply(ctx, obj, opts...)
			},
			SubResourceApply: func(
				ctx context.Context, c client.Client, sub string, obj runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption,
			) error {
				f.writes = append(f.writes, sub)
				return c.SubResource(sub).Apply(ctx, obj, opts...)
			},
		}).Build()
	f.restart()
	return f
}

// restart is what a new process begins with.
func (f *fixture) restart() {
	f.store = source.NewStore(f.dir, "store.example.com", f.clock)
	f.r = &Reconciler{
		Client: f.objects, Live: f.objects, Clock: f.clock, Publisher: source.Publisher{Store: f.store}, Opener: source.NewOpener(f.store),
	}
	inWorker := kind()
	inWorker.Host = nil // a run is over when it returns
	f.run = reconciler.New(f.objects, f.objects, inWorker, f.r, reconciler.Options{Clock: f.clock, Recorder: f, Concurrent: 1})
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// push gives the GitRepository an artifact.
func (f *fixture) push(revision string, files map[string]string) {
	f.Helper()
	contents, err := tree.FromStrings(files)
	f.must(err)
	all, err := source.FilesOf(contents)
	f.must(err)
	view, err := source.NewView(f.Context(), source.All(all), nil, nil, nil)
	f.must(err)
	key := source.Key{Kind: sourcev1.GitRepositoryKind, Namespace: "apps", Name: "fleet"}
	artifact, err := f.store.Put(f.Context(), key, source.Content{Name: revision, Revision: "main@sha1:" + revision, View: view})
	f.must(err)
	repository := make.GitRepository("apps", "fleet")
	if err := f.objects.Create(f.Context(), repository); err != nil {
		f.must(f.objects.Get(f.Context(), client.ObjectKeyFromObject(repository), repository))
	}
	repository.Status.Artifact = artifact
	f.must(f.objects.Status().Update(f.Context(), repository))
}

// reconcile runs the generator until it is at rest, and reads it.
func (f *fixture) reconcile() {
	f.Helper()
	f.events, f.writes = nil, nil
	key := client.ObjectKeyFromObject(f.obj)
	result, err := f.run.Reconcile(f.Context(), reconcile.Request{NamespacedName: key})
	if err != nil {
		f.Logf("the run ends with %v", err)
	}
	if err == nil && result.RequeueAfter > 0 && result.RequeueAfter < time.Second {
		f.Fatalf("it comes back after %s", result.RequeueAfter)
	}
	f.obj = &generatorv1.ArtifactGenerator{}
	if err := f.objects.Get(f.Context(), key, f.obj); client.IgnoreNotFound(err) != nil {
		f.Fatal(err)
	}
}

func (f *fixture) change(change func(*generatorv1.ArtifactGenerator)) {
	f.Helper()
	f.obj.Generation++
	change(f.obj)
	f.must(f.objects.Update(f.Context(), f.obj))
}

// isReady checks Ready, and a part of its message.
func (f *fixture) isReady(status, reason, says string) {
	f.Helper()
	ready := apimeta.FindStatusCondition(f.obj.Status.Conditions, meta.ReadyCondition)
	if ready == nil || string(ready.Status) != status || ready.Reason != reason || !strings.Contains(ready.Message, says) {
		f.Errorf("Ready is %+v, want %s, %s: %s", ready, status, reason, says)
	}
}

func (f *fixture) succeeds() {
	f.Helper()
	f.reconcile()
	f.isReady("True", "Succeeded", "reconciliation succeeded, generated ")
}

func (f *fixture) external(name string) *sourcev1.ExternalArtifact {
	f.Helper()
	var ea sourcev1.ExternalArtifact
	f.must(f.objects.Get(f.Context(), types.NamespacedName{Namespace: "apps", Name: name}, &ea))
	return &ea
}

func (f *fixture) names() []string {
	f.Helper()
	var list sourcev1.ExternalArtifactList
	f.must(f.objects.List(f.Context(), &list))
	var names []string
	for _, ea := range list.Items {
		names = append(names, ea.Name)
	}
	return slices.Sorted(slices.Values(names))
}

func (f *fixture) files(name string) map[string]string {
	f.Helper()
	return sourcetest.Files(f, f.store, f.external(name).Status.Artifact)
}

var (
	first  = map[string]string{"shop/app.yaml": "shop: 1", "blog/app.yaml": "blog: 1", "README.md": "hello"}
	second = map[string]string{"shop/app.yaml": "shop: 2", "blog/app.yaml": "blog: 1", "README.md": "hello"}
)

func TestASourceIsSplit(t *testing.T) {
	f := setup(t)
	f.push("1", first)
	f.succeeds()
	if diff := cmp.Diff(map[string]string{"app.yaml": "shop: 1"}, f.files("shop")); diff != "" {
		t.Error(diff)
	}
	shop := f.external("shop")
	artifact := shop.Status.Artifact
	if artifact.Revision != "latest@"+artifact.Digest ||
		!strings.HasPrefix(artifact.URL, "http://store.example.com/externalartifact/apps/shop/") {
		t.Errorf("the artifact is %+v", artifact)
	}
	if shop.Labels[managedBy] != manager || shop.Labels[generatorv1.ArtifactGeneratorLabel] != "split-uid" {
		t.Errorf("labels are %v", shop.Labels)
	}
	if ready := apimeta.FindStatusCondition(shop.Status.Conditions, meta.ReadyCondition); ready == nil || ready.Reason != "Succeeded" {
		t.Errorf("conditions are %+v", shop.Status.Conditions)
	}
	ref := f.obj.Status.Inventory[0]
	want := generatorv1.ExternalArtifactReference{
		Name: "shop", Namespace: "apps", Digest: artifact.Digest, Filename: filepath.Base(artifact.Path),
	}
	if ref != want || !slices.Contains(f.obj.Finalizers, generatorv1.Finalizer) {
		t.Errorf("the inventory begins with %+v, finalizers are %v", ref, f.obj.Finalizers)
	}
	if len(f.events) != 1 || !strings.HasPrefix(f.events[0].Message, "external artifacts reconciled: apps/shop (sha256:") {
		t.Errorf("events are %+v", f.events)
	}
}

// TestWhatDoesNotChangeIsNotWritten: a commit writes the artifacts that have a file of it, and a look without news nothing.
func TestWhatDoesNotChangeIsNotWritten(t *testing.T) {
	f := setup(t)
	f.push("1", first)
	f.succeeds()
	blog, shop := f.external("blog"), f.external("shop")
	f.succeeds()
	if len(f.writes) > 0 || len(f.events) > 0 {
		t.Errorf("a look without news writes %v and tells %+v", f.writes, f.events)
	}
	f.restart()
	f.clock.Step(time.Hour)
	f.push("2", second)
	f.succeeds()
	if diff := cmp.Diff([]string{"object", "status"}, f.writes); diff != "" {
		t.Error(diff)
	}
	if f.external("blog").ResourceVersion != blog.ResourceVersion {
		t.Error("an artifact of which no file changed was written")
	}
	if f.external("shop").UID != shop.UID || f.external("shop").Status.Artifact.HasDigest(shop.Status.Artifact.Digest) {
		t.Error("the artifact of which a file changed is not another one")
	}
	if diff := cmp.Diff(map[string]string{"app.yaml": "shop: 2"}, f.files("shop")); diff != "" {
		t.Error(diff)
	}
	if len(f.events) != 1 || strings.Contains(f.events[0].Message, "blog") {
		t.Errorf("events are %+v", f.events)
	}
}

// TestALostArtifactIsMadeAgain: consumers see the same artifact, at the same time.
func TestALostArtifactIsMadeAgain(t *testing.T) {
	f := setup(t)
	f.push("1", first)
	f.succeeds()
	shop := f.external("shop")
	f.must(os.RemoveAll(filepath.Join(f.dir, "externalartifact")))
	f.clock.Step(time.Hour)
	f.restart()
	f.succeeds()
	if diff := cmp.Diff(shop.Status, f.external("shop").Status); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"app.yaml": "shop: 1"}, f.files("shop")); diff != "" {
		t.Error(diff)
	}
}

func TestRevisions(t *testing.T) {
	f := setup(t, func(g *generatorv1.ArtifactGenerator) {
		g.Spec.OutputArtifacts[0].Revision, g.Spec.OutputArtifacts[1].OriginRevision = "@fleet", "@fleet"
	})
	f.push("1", first)
	f.succeeds()
	shop, blog := f.external("shop").Status.Artifact, f.external("blog").Status.Artifact
	if shop.Revision != "main@sha1:1" || shop.Metadata != nil {
		t.Errorf("shop is %+v", shop)
	}
	if blog.Revision != "latest@"+blog.Digest || blog.Metadata["org.opencontainers.image.revision"] != "main@sha1:1" {
		t.Errorf("blog is %+v", blog)
	}
	f.push("2", first)
	f.succeeds()
	if again := f.external("shop").Status.Artifact; again.Revision != "main@sha1:2" || again.Digest != shop.Digest {
		t.Errorf("with a revision of the same files, shop is %+v", again)
	}
}

func TestWhatIsMadeNoMoreGoes(t *testing.T) {
	f := setup(t)
	f.push("1", first)
	f.succeeds()
	f.must(f.objects.Create(t.Context(), &sourcev1.ExternalArtifact{ObjectMeta: make.Bucket("apps", "theirs").ObjectMeta}))
	f.change(func(g *generatorv1.ArtifactGenerator) { g.Spec.OutputArtifacts = g.Spec.OutputArtifacts[:1] })
	f.succeeds()
	if diff := cmp.Diff([]string{"shop", "theirs"}, f.names()); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "externalartifact/apps/blog")); !os.IsNotExist(err) {
		t.Errorf("the files of what is gone: %v", err)
	}
	f.must(f.objects.Delete(t.Context(), f.obj))
	f.reconcile()
	if diff := cmp.Diff([]string{"theirs"}, f.names()); diff != "" {
		t.Error(diff)
	}
	if f.obj.Name != "" {
		t.Errorf("it is still there, with finalizers %v", f.obj.Finalizers)
	}
}

// TestWhatSomebodyChangesIsMended: its labels, its status, and that it is there.
func TestWhatSomebodyChangesIsMended(t *testing.T) {
	f := setup(t)
	f.push("1", first)
	f.succeeds()
	want := f.external("shop")
	spoil := map[string]func(*sourcev1.ExternalArtifact) error{
		"the label": func(ea *sourcev1.ExternalArtifact) error {
			delete(ea.Labels, generatorv1.ArtifactGeneratorLabel)
			return f.objects.Update(t.Context(), ea)
		},
		"the artifact": func(ea *sourcev1.ExternalArtifact) error {
			ea.Status.Artifact.Digest = "sha256:0"
			return f.objects.Status().Update(t.Context(), ea)
		},
		"all of it": func(ea *sourcev1.ExternalArtifact) error { return f.objects.Delete(t.Context(), ea) },
	}
	for name, change := range spoil {
		f.must(change(f.external("shop")))
		f.succeeds()
		got := f.external("shop")
		if diff := cmp.Diff(want.Status.Artifact, got.Status.Artifact); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff(want.Labels, got.Labels); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	foreign := func(ref *meta.NamespacedObjectKindReference) *sourcev1.ExternalArtifact {
		ea := &sourcev1.ExternalArtifact{ObjectMeta: make.Bucket("apps", "shop").ObjectMeta}
		ea.Spec.SourceRef, ea.Status.Artifact = ref, &meta.Artifact{Path: "x", Revision: "x", Digest: "sha256:x", URL: "http://x"}
		return ea
	}
	tests := map[string]struct {
		change  func(*generatorv1.ArtifactGenerator)
		objects []client.Object
		reason  string
		says    string
	}{
		"a spec that means nothing": {
			func(g *generatorv1.ArtifactGenerator) { g.Spec.Sources[0].Kind = "HelmChart" }, nil, "ValidationFailed", "HelmChart",
		},
		"a source of another namespace": {
			func(g *generatorv1.ArtifactGenerator) { g.Spec.Sources[0].Namespace = "theirs" }, nil,
			"AccessDenied", "cross-namespace reference to source GitRepository/theirs/fleet is not allowed",
		},
		"a source that is not there": {
			func(g *generatorv1.ArtifactGenerator) { g.Spec.Sources[0].Name = "none" }, nil,
			"SourceFetchFailed", "get sources failed: source 'GitRepository/apps/none' not found",
		},
		"a source without artifact": {
			func(g *generatorv1.ArtifactGenerator) { g.Spec.Sources[0].Name = "new" }, []client.Object{make.GitRepository("apps", "new")},
			"SourceFetchFailed", "source 'GitRepository/apps/new' is not ready",
		},
		"a path that is not there": {
			func(g *generatorv1.ArtifactGenerator) { g.Spec.OutputArtifacts[0].Copy[0].From = "@fleet/none" }, nil,
			"BuildFailed", "shop build failed: copy from '@fleet/none'",
		},
		"an artifact of another controller": {
			nil, []client.Object{foreign(&meta.NamespacedObjectKindReference{Kind: "Render", Name: "r"})},
			"ReconciliationFailed", "ExternalArtifact 'apps/shop' is made by Render 'r'",
		},
		"an artifact of nobody knows whom": {nil, []client.Object{foreign(nil)}, "ReconciliationFailed", "is made by somebody else"},
		"an artifact of another generator": {
			nil, []client.Object{make.ArtifactGenerator("apps", "other"), foreign(&meta.NamespacedObjectKindReference{
				APIVersion: generatorv1.GroupVersion.String(), Kind: "ArtifactGenerator", Name: "other", Namespace: "apps",
			})}, "ReconciliationFailed", "is made by ArtifactGenerator 'apps/other'",
		},
		"its own artifact as a source": {
			func(g *generatorv1.ArtifactGenerator) {
				g.Spec.Sources[0] = generatorv1.SourceReference{Alias: "fleet", Kind: "ExternalArtifact", Name: "shop"}
			},
			[]client.Object{foreign(&meta.NamespacedObjectKindReference{
				APIVersion: generatorv1.GroupVersion.String(), Kind: "ArtifactGenerator", Name: "split", Namespace: "apps",
			})}, "ValidationFailed", "leads back to an artifact of 'apps/split' itself",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.push("1", first)
			f.r.NoCrossNamespaceRefs = true
			for _, object := range tc.objects {
				f.must(f.objects.Create(t.Context(), object))
				if ea, ok := object.(*sourcev1.ExternalArtifact); ok {
					ea.Status.Artifact = &meta.Artifact{Path: "x", Revision: "x", Digest: "sha256:x", URL: "http://x"}
					f.must(f.objects.Status().Update(t.Context(), ea))
				}
			}
			if tc.change != nil {
				f.change(tc.change)
			}
			f.reconcile()
			f.isReady("False", tc.reason, tc.says)
			stalled := apimeta.IsStatusConditionTrue(f.obj.Status.Conditions, meta.StalledCondition)
			if wanted := tc.reason == "ValidationFailed" || tc.reason == "AccessDenied"; stalled != wanted {
				t.Errorf("stalled: %v", stalled)
			}
			for _, name := range f.names() {
				if ea := f.external(name); ea.Labels[managedBy] == manager && name == "shop" {
					t.Errorf("%s was taken over: %+v", name, ea)
				}
			}
		})
	}
}

// TestAnOrphanIsAdopted: of a generator that is gone, without being made anew.
func TestAnOrphanIsAdopted(t *testing.T) {
	f := setup(t)
	f.push("1", first)
	ea := &sourcev1.ExternalArtifact{ObjectMeta: make.Bucket("apps", "shop").ObjectMeta}
	ea.UID, ea.Labels = "kept", map[string]string{generatorv1.ArtifactGeneratorLabel: "gone"}
	ea.Spec.SourceRef = &meta.NamespacedObjectKindReference{
		APIVersion: generatorv1.GroupVersion.String(), Kind: "ArtifactGenerator", Name: "gone", Namespace: "apps",
	}
	f.must(f.objects.Create(t.Context(), ea))
	f.succeeds()
	if got := f.external("shop"); got.UID != "kept" || got.Spec.SourceRef.Name != "split" ||
		got.Labels[generatorv1.ArtifactGeneratorLabel] != "split-uid" {
		t.Errorf("it is %+v", got)
	}
}

func TestADisabledGeneratorRests(t *testing.T) {
	f := setup(t, func(g *generatorv1.ArtifactGenerator) {
		g.Annotations = map[string]string{generatorv1.ReconcileAnnotation: "Disabled"}
	})
	f.push("1", first)
	f.reconcile()
	if names := f.names(); len(names) > 0 {
		t.Errorf("it made %v", names)
	}
	enabled := f.obj.DeepCopy()
	enabled.Annotations = nil
	for _, tc := range []struct {
		before, after *generatorv1.ArtifactGenerator
		wakes         bool
	}{{f.obj, enabled, true}, {enabled, f.obj, false}, {f.obj, f.obj, false}} {
		if got := resumed().Update(updateOf(tc.before, tc.after)); got != tc.wakes {
			t.Errorf("from %v to %v: %v", tc.before.Annotations, tc.after.Annotations, got)
		}
	}
}

func TestPathPatternAndMetadata(t *testing.T) {
	f := setup(t, func(g *generatorv1.ArtifactGenerator) {
		g.Spec.PathPattern = "@fleet/{team}"
		g.Spec.OutputArtifacts = []generatorv1.OutputArtifact{make.Output("of-{team}", "@fleet/{team}/**", "@artifact/{team}/")}
		g.Spec.CommonMetadata = &generatorv1.CommonMetadata{
			Labels: map[string]string{"env": "prod", "team": "x", managedBy: "me"}, Annotations: map[string]string{"note": "n"},
		}
	})
	f.push("1", first)
	f.succeeds()
	if diff := cmp.Diff([]string{"of-blog", "of-shop"}, f.names()); diff != "" {
		t.Error(diff)
	}
	shop := f.external("of-shop")
	want := map[string]string{"env": "prod", "team": "shop", managedBy: manager, generatorv1.ArtifactGeneratorLabel: "split-uid"}
	if diff := cmp.Diff(want, shop.Labels); diff != "" || shop.Annotations["note"] != "n" {
		t.Errorf("%s, annotations %v", diff, shop.Annotations)
	}
	if diff := cmp.Diff(map[string]string{"shop/app.yaml": "shop: 1"}, f.files("of-shop")); diff != "" {
		t.Error(diff)
	}
	f.change(func(g *generatorv1.ArtifactGenerator) { g.Spec.CommonMetadata = nil })
	f.succeeds()
	if shop := f.external("of-shop"); shop.Labels["env"] != "" || shop.Annotations["note"] != "" {
		t.Errorf("what the spec says no more stays: %v, %v", shop.Labels, shop.Annotations)
	}
	f.push("2", map[string]string{"shop/app.yaml": "shop: 1"})
	f.succeeds()
	if diff := cmp.Diff([]string{"of-shop"}, f.names()); diff != "" {
		t.Error(diff)
	}
}

func TestMergedAndExtracted(t *testing.T) {
	f := setup(t, func(g *generatorv1.ArtifactGenerator) {
		g.Spec.OutputArtifacts = []generatorv1.OutputArtifact{{Name: "chart", Copy: []generatorv1.CopyOperation{
			{From: "@fleet/chart.tgz", To: "@artifact/", Strategy: "Extract"},
			{From: "@fleet/values.yaml", To: "@artifact/chart/values.yaml", Strategy: "Merge"},
		}}}
	})
	f.push("1", map[string]string{"chart.tgz": tarball(t, map[string]string{"chart/values.yaml": "a: 1\nb: 2\n"}), "values.yaml": "a: 3"})
	f.succeeds()
	if diff := cmp.Diff(map[string]string{"chart/values.yaml": "a: 3\nb: 2\n"}, f.files("chart")); diff != "" {
		t.Error(diff)
	}
	f.push("2", map[string]string{"chart.tgz": "none", "values.yaml": "a: 3"})
	f.reconcile()
	f.isReady("False", "BuildFailed", "chart build failed: copy from '@fleet/chart.tgz' to '@artifact/': extracting 'chart.tgz'")
	f.push("3", map[string]string{"chart.tgz": tarball(t, map[string]string{"../../x": "a: 1"}), "values.yaml": "a: 3"})
	f.reconcile()
	f.isReady("False", "BuildFailed", "extracting 'chart.tgz'")
}

func tarball(t *testing.T, files map[string]string) string {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	for name, content := range files {
		if err := archive.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func updateOf(before, after client.Object) event.UpdateEvent {
	return event.UpdateEvent{ObjectOld: before, ObjectNew: after}
}
