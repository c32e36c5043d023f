// SPDX-License-Identifier: Apache-2.0

// Package sources tests what Kustomizations apply of sources that are more than a Git branch: OCI artifacts, buckets,
// includes and external artifacts, against a real API server.
package sources

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/controllers/artifactgenerator"
	"github.com/sluice-cd/sluice/controllers/bucket"
	"github.com/sluice-cd/sluice/controllers/gitrepository"
	"github.com/sluice-cd/sluice/controllers/kustomization"
	"github.com/sluice-cd/sluice/controllers/ocirepository"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/wake"
	"github.com/sluice-cd/sluice/scan"
	"github.com/sluice-cd/sluice/source"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

// fixture is a namespace of a playground with sources and who applies them.
type fixture struct {
	*harness.Playground
	t     *testing.T
	ns    string
	store *source.Store // of the artifacts
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{Playground: harness.Installed(t), t: t}
	f.ns = f.NewNamespace(t, "sources-", nil)
	f.Serve(t, func(mgr ctrl.Manager, opts reconciler.Options) error {
		f.store = source.NewStore(t.TempDir(), "store.example.com", opts.Clock)
		opener, publisher := source.NewOpener(f.store), source.Publisher{Store: f.store}
		repositories := &gitrepository.Reconciler{
			Mirrors: git.NewMirrors(t.TempDir(), opts.Clock), Publisher: publisher, Opener: opener, Pushed: &wake.Source{},
		}
		if err := repositories.SetupWithManager(t.Context(), mgr, opts); err != nil {
			return err
		}
		buckets := &bucket.Reconciler{
			Client: mgr.GetClient(), Secrets: mgr.GetAPIReader(), Clock: opts.Clock, Publisher: publisher, Opener: opener,
			Transports: outbound.NewTransports(nil),
		}
		if err := buckets.SetupWithManager(t.Context(), mgr, opts); err != nil {
			return err
		}
		asking := registry.NewClient(opts.Clock)
		artifacts := &ocirepository.Reconciler{
			Client: mgr.GetClient(), Secrets: mgr.GetAPIReader(), Clock: opts.Clock, Registry: asking,
			Scanner:   scan.NewScanner(scan.NewClient(asking, opts.Clock), scan.NewStore()),
			Publisher: publisher, Tagged: &wake.Source{},
		}
		if err := artifacts.SetupWithManager(t.Context(), mgr, opts); err != nil {
			return err
		}
		generators := &artifactgenerator.Reconciler{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Clock: opts.Clock, Publisher: publisher, Opener: opener,
		}
		if err := generators.SetupWithManager(t.Context(), mgr, opts); err != nil {
			return err
		}
		return (&kustomization.Reconciler{Opener: opener}).SetupWithManager(t.Context(), mgr, opts)
	}, f.ns)
	return f
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// eventually waits until what is read has what check wants.
func (f *fixture) eventually(obj client.Object, what string, check func() bool) {
	f.t.Helper()
	harness.MustBecome(f.t, f.Client, obj, what, check)
}

// manifest is a ConfigMap with a color.
func (f *fixture) manifest(color string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app, namespace: %s}\ndata: {color: %s}\n", f.ns, color)
}

// applies makes a Kustomization of a source.
func (f *fixture) applies(kind, name, path string) *kustomizev1.Kustomization {
	f.t.Helper()
	k := make.Kustomization(f.ns, "app", func(k *kustomizev1.Kustomization) {
		k.Spec.SourceRef.Kind, k.Spec.SourceRef.Name, k.Spec.Path = kind, name, path
	})
	f.must(f.Client.Create(f.t.Context(), k))
	return k
}

// has waits until the ConfigMap has a color.
func (f *fixture) has(color string) {
	f.t.Helper()
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: "app"}}
	harness.MustBecome(f.t, f.Client, config, "the color "+color, func() bool { return config.Data["color"] == color })
}

// request asks for a look now, as `flux reconcile` does.
func (f *fixture) request(kind, name string) {
	f.t.Helper()
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(sourcev1.GroupVersion.WithKind(kind))
	object.Namespace, object.Name = f.ns, name
	f.must(reconciler.Request(f.t.Context(), f.Client, object, time.Now()))
}

// served are artifacts of somebody else.
type served struct {
	mu    sync.Mutex
	bytes []byte
}

func (s *served) set(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes = data
}

func (s *served) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = w.Write(s.bytes)
}

func archive(t *testing.T, name, content string) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	files := tar.NewWriter(zip)
	if err := files.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestAnExternalArtifactIsAppliedIfItIsWhatItsDigestSays(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	content := &served{}
	server := httptest.NewServer(content)
	t.Cleanup(server.Close)
	obj := &sourcev1.ExternalArtifact{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: "rendered"}}
	f.must(f.Client.Create(t.Context(), obj))
	publish := func(revision string, data []byte) {
		t.Helper()
		size := int64(len(data))
		obj.Status.Artifact = &meta.Artifact{
			Path: "externalartifact/" + f.ns + "/rendered/x.tar.gz", URL: server.URL + "/x.tar.gz", Revision: revision,
			Digest: digest.FromBytes(data).String(), Size: &size, LastUpdateTime: metav1.Now(),
			Metadata: map[string]string{"org.opencontainers.image.revision": "main@sha1:abc"},
		}
		f.must(f.Client.Status().Update(t.Context(), obj))
	}
	k := f.applies(sourcev1.ExternalArtifactKind, "rendered", "./")
	harness.MustBecome(f.t, f.Client, k, "a wait for the artifact", func() bool {
		ready := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
		return ready != nil && strings.Contains(ready.Message, "'ExternalArtifact/"+f.ns+"/rendered' has no artifact yet")
	})
	blue := archive(t, "app.yaml", f.manifest("blue"))
	content.set(blue)
	publish("v1", blue)
	f.has("blue")
	harness.MustBecome(f.t, f.Client, k, "the revision", func() bool {
		return k.Status.LastAppliedRevision == "v1" && k.Status.LastAppliedOriginRevision == "main@sha1:abc"
	})
	green := archive(t, "app.yaml", f.manifest("green"))
	publish("v2", green) // and blue is what comes
	harness.MustBecome(f.t, f.Client, k, "a refusal", func() bool {
		ready := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
		return ready != nil && ready.Reason == meta.ArtifactFailedReason && ready.Status == metav1.ConditionFalse
	})
	f.has("blue")
	content.set(green)
	red := archive(t, "app.yaml", f.manifest("red"))
	content.set(red)
	publish("v2", red) // another digest of the same revision
	f.has("red")
}

// TestASourceFollowsWhatItIncludes: none of them waits for its interval, which is an hour.
func TestASourceFollowsWhatItIncludes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	server := gitserver.New(t)
	app, lib := server.Repo("app"), server.Repo("lib")
	app.Commit("main", gitserver.Files{"deploy/kustomization.yaml": "resources: [lib/app.yaml]\n"})
	lib.Commit("main", gitserver.Files{"app.yaml": f.manifest("blue")})
	f.must(f.Client.Create(t.Context(), make.GitRepository(f.ns, "app", func(r *sourcev1.GitRepository) {
		r.Spec.URL = app.URL
		r.Spec.Include = []sourcev1.GitRepositoryInclude{{GitRepositoryRef: meta.LocalObjectReference{Name: "lib"}, ToPath: "deploy/lib"}}
	})))
	obj := make.GitRepository(f.ns, "app")
	harness.MustBecome(f.t, f.Client, obj, "a wait", func() bool {
		return apimeta.IsStatusConditionTrue(obj.Status.Conditions, sourcev1.IncludeUnavailableCondition)
	})
	f.must(f.Client.Create(t.Context(), make.GitRepository(f.ns, "lib", func(r *sourcev1.GitRepository) { r.Spec.URL = lib.URL })))
	_ = f.applies(sourcev1.GitRepositoryKind, "app", "./deploy")
	f.has("blue")
	lib.Commit("main", gitserver.Files{"app.yaml": f.manifest("green")})
	f.request(sourcev1.GitRepositoryKind, "lib")
	f.has("green")
	harness.MustBecome(f.t, f.Client, obj, "a status that says what is included", func() bool {
		return len(obj.Status.IncludedArtifacts) == 1 && strings.HasSuffix(obj.Status.IncludedArtifacts[0].Revision, lib.Head("main"))
	})
}
