// SPDX-License-Identifier: Apache-2.0

// Package image tests the way from a registry to a chosen tag against a real API
// server.
package image

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-containerregistry/pkg/name"
	fakeregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/controllers/imagepolicy"
	"github.com/sluice-cd/sluice/controllers/imagerepository"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/scan"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

// fixture is a namespace of a playground, and a registry.
type fixture struct {
	*harness.Playground
	t     *testing.T
	ns    string
	host  string
	scans atomic.Int64
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	return newFixtureIn(t, harness.Installed(t))
}

// newFixtureIn is one in a playground of its own.
func newFixtureIn(t *testing.T, p *harness.Playground) *fixture {
	t.Helper()
	f := &fixture{Playground: p, t: t}
	f.ns = f.NewNamespace(t, "image-", nil)
	images := fakeregistry.New(fakeregistry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		images.ServeHTTP(w, r)
		if strings.HasSuffix(r.URL.Path, "/tags/list") {
			f.scans.Add(1)
		}
	}))
	t.Cleanup(server.Close)
	f.host = strings.TrimPrefix(server.URL, "http://")
	return f
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// start runs the controllers for the namespaces, with no tags in memory, and
// returns what stops them.
func (f *fixture) start(namespaces ...string) (stop func()) {
	f.t.Helper()
	return f.Serve(f.t, f.setup, namespaces...)
}

func (f *fixture) setup(mgr ctrl.Manager, opts reconciler.Options) error {
	client, store := registry.NewClient(opts.Clock), scan.NewStore()
	scanner := scan.NewScanner(scan.NewClient(client, opts.Clock), store)
	repositories := &imagerepository.Reconciler{Secrets: mgr.GetAPIReader(), Registry: client, Scanner: scanner, Clock: opts.Clock}
	if err := repositories.SetupWithManager(mgr, opts); err != nil {
		return err
	}
	policies := &imagepolicy.Reconciler{
		Client:   mgr.GetClient(),
		Secrets:  mgr.GetAPIReader(),
		Registry: client,
		Store:    store,
		Clock:    opts.Clock,
	}
	return policies.SetupWithManager(f.t.Context(), mgr, opts)
}

func (f *fixture) push(tags ...string) {
	f.t.Helper()
	for _, tag := range tags {
		ref, err := name.NewTag(f.host + "/app:" + tag)
		f.must(err)
		f.must(remote.Write(ref, empty.Image))
	}
}

// repository makes the ImageRepository app.
func (f *fixture) repository(interval time.Duration) *imagev1.ImageRepository {
	f.t.Helper()
	repo := make.ImageRepository(f.ns, "app", func(r *imagev1.ImageRepository) {
		r.Spec.Image, r.Spec.Interval.Duration = f.host+"/app", interval
	})
	f.must(f.Client.Create(f.t.Context(), repo))
	return repo
}

// policy makes an ImagePolicy app by semver in a namespace.
func (f *fixture) policy(namespace, constraint string) *imagev1.ImagePolicy {
	f.t.Helper()
	p := make.ImagePolicy(namespace, "app", func(p *imagev1.ImagePolicy) {
		p.Spec.ImageRepositoryRef.Namespace, p.Spec.Policy.SemVer.Range = f.ns, constraint
	})
	f.must(f.Client.Create(f.t.Context(), p))
	return p
}

// edit changes the present state of obj and updates it.
func (f *fixture) edit(obj client.Object, change func()) {
	f.t.Helper()
	f.must(f.Client.Get(f.t.Context(), client.ObjectKeyFromObject(obj), obj))
	before := obj.DeepCopyObject().(client.Object)
	change()
	f.must(f.Client.Patch(f.t.Context(), obj, client.MergeFrom(before)))
}

// request asks for a reconcile as `flux reconcile` does, and waits until it is
// handled.
func (f *fixture) request(repo *imagev1.ImageRepository) {
	f.t.Helper()
	at := fmt.Sprint(time.Now().UnixNano())
	f.edit(repo, func() { repo.Annotations = map[string]string{meta.ReconcileRequestAnnotation: at} })
	harness.MustBecome(f.t, f.Client, repo, "the request was handled", func() bool { return repo.Status.LastHandledReconcileAt == at })
}

// chosen waits until the policy is Ready with the tag.
func (f *fixture) chosen(p *imagev1.ImagePolicy, tag string) {
	f.t.Helper()
	harness.MustBecome(f.t, f.Client, p, "tag "+tag+" was chosen", func() bool {
		return apimeta.IsStatusConditionTrue(p.Status.Conditions, meta.ReadyCondition) &&
			p.Status.ObservedGeneration == p.Generation && p.Status.LatestRef.Tag == tag
	})
}

// failing waits until obj is not Ready for the reason.
func (f *fixture) failing(obj reconciler.Object, reason string) {
	f.t.Helper()
	harness.MustBecome(f.t, f.Client, obj, "Ready=False for "+reason, func() bool {
		ready := apimeta.FindStatusCondition(obj.GetConditions(), meta.ReadyCondition)
		return ready != nil && ready.Status == metav1.ConditionFalse && ready.Reason == reason
	})
}

// told waits for an event with the text.
func (f *fixture) told(text string) {
	f.t.Helper()
	_, err := harness.Eventually(f.t.Context(), "an event tells "+text, harness.Patience, func(ctx context.Context) (bool, string) {
		var events corev1.EventList
		if err := f.Client.List(ctx, &events, client.InNamespace(f.ns)); err != nil {
			return false, err.Error()
		}
		for _, e := range events.Items {
			if strings.Contains(e.Message, text) {
				return true, ""
			}
		}
		return false, fmt.Sprintf("%d others", len(events.Items))
	})
	f.must(err)
}

func key(obj client.Object) client.ObjectKey { return client.ObjectKeyFromObject(obj) }

// everybody lets policies of any namespace in.
func everybody() *acl.AccessFrom {
	return &acl.AccessFrom{NamespaceSelectors: []acl.NamespaceSelector{{}}}
}
