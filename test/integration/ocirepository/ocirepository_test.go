// SPDX-License-Identifier: Apache-2.0

// Package ocirepository tests the way from a pushed artifact to what runs, without Git,
// against a real API server.
package ocirepository

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"
	fakeregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/controllers/kustomization"
	"github.com/sluice-cd/sluice/controllers/ocirepository"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/wake"
	"github.com/sluice-cd/sluice/scan"
	"github.com/sluice-cd/sluice/source"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

// patience bounds every wait; it is only ever spent by a test that fails.
const patience = 30 * time.Second

// fixture is a namespace of a playground with a source and who applies it, and a registry.
type fixture struct {
	*harness.Playground
	t    *testing.T
	ns   string
	host string
	repo *sourcev1.OCIRepository
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{Playground: harness.Installed(t), t: t}
	f.ns = f.NewNamespace(t, "oci-", nil)
	server := httptest.NewServer(fakeregistry.New(fakeregistry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	f.host = strings.TrimPrefix(server.URL, "http://")
	f.Serve(t, func(mgr ctrl.Manager, opts reconciler.Options) error {
		asking := registry.NewClient(opts.Clock)
		store := source.NewStore(t.TempDir(), "store.example.com", opts.Clock)
		sources := &ocirepository.Reconciler{
			Client: mgr.GetClient(), Secrets: mgr.GetAPIReader(), Clock: opts.Clock, Registry: asking,
			Scanner:   scan.NewScanner(scan.NewClient(asking, opts.Clock), scan.NewStore()),
			Publisher: source.Publisher{Store: store}, Tagged: &wake.Source{},
		}
		if err := sources.SetupWithManager(mgr, opts); err != nil {
			return err
		}
		return (&kustomization.Reconciler{Opener: source.NewOpener(store)}).SetupWithManager(mgr, opts)
	}, f.ns)
	return f
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// push pushes a ConfigMap with a color as `flux push artifact` does, and returns the digest.
func (f *fixture) push(tag, color string) string {
	f.t.Helper()
	manifest := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app, namespace: %s}\ndata: {color: %s}\n", f.ns, color)
	image, err := harness.Manifests("deploy/app.yaml", manifest, "main@sha1:"+color)
	f.must(err)
	ref, err := name.NewTag(f.host + "/team/app:" + tag)
	f.must(err)
	f.must(remote.Write(ref, image))
	digest, err := image.Digest()
	f.must(err)
	return digest.String()
}

// eventually waits until what is read has what check wants.
func (f *fixture) eventually(obj client.Object, what string, check func() bool) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	for !check() {
		select {
		case <-ctx.Done():
			f.t.Fatalf("%s: %+v", what, obj)
		case <-time.After(50 * time.Millisecond):
		}
		_ = f.Client.Get(ctx, client.ObjectKeyFromObject(obj), obj) // which may come later
	}
}

// request asks for a look now, as `flux reconcile source oci` does.
func (f *fixture) request() {
	f.t.Helper()
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(sourcev1.GroupVersion.WithKind(sourcev1.OCIRepositoryKind))
	object.Namespace, object.Name = f.ns, f.repo.Name
	f.must(reconciler.Request(f.t.Context(), f.Client, object, time.Now()))
}

func TestWhatIsPushedIsAppliedWithoutGit(t *testing.T) {
	f := newFixture(t)
	f.repo = make.OCIRepository(f.ns, "app", func(o *sourcev1.OCIRepository) {
		o.Spec.URL, o.Spec.Insecure = "oci://"+f.host+"/team/app", true
		o.Spec.Reference = &sourcev1.OCIRepositoryRef{Tag: "staging"}
	})
	first := f.push("staging", "blue")
	f.must(f.Client.Create(t.Context(), f.repo))
	k := make.Kustomization(f.ns, "app", func(k *kustomizev1.Kustomization) {
		k.Spec.SourceRef.Kind, k.Spec.SourceRef.Name, k.Spec.Path = sourcev1.OCIRepositoryKind, "app", "./deploy"
	})
	f.must(f.Client.Create(t.Context(), k))
	applied := func(color, revision string) {
		t.Helper()
		config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: "app"}}
		f.eventually(config, "it is not "+color, func() bool { return config.Data["color"] == color })
		f.eventually(k, "it is not at "+revision, func() bool { return k.Status.LastAppliedRevision == revision })
	}
	applied("blue", "staging@"+first)
	if k.Status.LastAppliedOriginRevision != "main@sha1:blue" {
		t.Errorf("the origin is %q", k.Status.LastAppliedOriginRevision)
	}
	second := f.push("staging", "green")
	f.request()
	applied("green", "staging@"+second)

	f.must(f.Client.Get(t.Context(), client.ObjectKeyFromObject(f.repo), f.repo))
	f.repo.Spec.Reference = &sourcev1.OCIRepositoryRef{SemVer: ">=1"}
	f.must(f.Client.Update(t.Context(), f.repo))
	f.eventually(f.repo, "it is not failing", func() bool {
		ready := apimeta.FindStatusCondition(f.repo.Status.Conditions, meta.ReadyCondition)
		return ready != nil && ready.Reason == sourcev1.ReadOperationFailedReason && ready.Status == metav1.ConditionFalse
	})
	third := f.push("1.0.0", "red")
	f.request()
	applied("red", "1.0.0@"+third)

	f.must(f.Client.Delete(t.Context(), f.repo))
	f.eventually(f.repo, "it is still there", func() bool {
		return client.IgnoreNotFound(f.Client.Get(t.Context(), client.ObjectKeyFromObject(f.repo), f.repo)) == nil && f.gone()
	})
}

// gone reports whether the source was deleted, its finalizer included.
func (f *fixture) gone() bool {
	var list sourcev1.OCIRepositoryList
	return f.Client.List(f.t.Context(), &list, client.InNamespace(f.ns)) == nil && len(list.Items) == 0
}
