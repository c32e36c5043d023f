// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"context"
	"fmt"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/test/make"
	"github.com/sluice-cd/sluice/writeback"
)

const markedFile = "image: app:1 # {\"$imagepolicy\": \"apps:app\"}\n"

// woken are the sources that a reconcile woke.
type woken []types.NamespacedName

func (w *woken) Wake(source types.NamespacedName) { *w = append(*w, source) }

// fixture is a reconciler with a Git server and the objects of the API server.
type fixture struct {
	*Reconciler
	server *gitserver.Server
	repo   *gitserver.Repo
	woken  *woken
}

// newFixture serves a repository with one marked file on branch main.
func newFixture(t *testing.T, objects ...client.Object) fixture {
	t.Helper()
	server := gitserver.New(t, gitserver.WithBasicAuth("user", "secret"))
	repo := server.Repo("app")
	repo.Commit("main", gitserver.Files{"a.yaml": markedFile})
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, imagev1.AddToScheme, sourcev1.AddToScheme, sluicev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range objects {
		if source, ok := o.(*sourcev1.GitRepository); ok && source.Spec.URL == "" {
			source.Spec.URL = repo.URL
		}
	}
	f := fixture{server: server, repo: repo, woken: &woken{}}
	f.Reconciler = &Reconciler{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
			WithStatusSubresource(&imagev1.ImageUpdateAutomation{}).
			WithInterceptorFuncs(unlessEnded()).Build(),
		Writer:        writeback.NewWriter(git.NewMirrors(t.TempDir(), clock.RealClock{}), clock.RealClock{}),
		ServesSources: true, Sources: f.woken, Clock: clock.RealClock{},
		pipelines: reconciler.AlwaysServed(),
	}
	f.Access.Client = f.Client
	return f
}

// unlessEnded patches nothing for a process that has ended, as a real client would not; the fake one does not look.
func unlessEnded() interceptor.Funcs {
	return interceptor.Funcs{SubResourcePatch: func(
		ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption,
	) error {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("patching: %w", err)
		}
		return c.SubResource(sub).Patch(ctx, o, p, opts...)
	}}
}

// Reconcile is one run of the reconciler, with what the runner gives it.
func (f fixture) Reconcile(ctx context.Context, a *imagev1.ImageUpdateAutomation) (reconciler.Result, error) {
	return f.Reconciler.Reconcile(reconciler.WithCheckpoint(ctx, func(context.Context) error { return nil }), a)
}

func credentials() *corev1.Secret {
	return make.Login("apps")
}

// source is a GitRepository of the fixture's server, unless a change gives it a URL.
func source(changes ...func(*sourcev1.GitRepository)) *sourcev1.GitRepository {
	served := func(r *sourcev1.GitRepository) { r.Spec.URL = "" }
	return make.GitRepository("apps", "app", append([]func(*sourcev1.GitRepository){make.WithSecret("git"), served}, changes...)...)
}

// policy is Ready for its current generation with app:<tag>.
func policy(tag string, changes ...func(*imagev1.ImagePolicy)) *imagev1.ImagePolicy {
	labelled := func(p *imagev1.ImagePolicy) { p.Generation, p.Labels = 2, map[string]string{"app": "app"} }
	return make.ImagePolicy("apps", "app", append([]func(*imagev1.ImagePolicy){labelled, make.Chosen(tag)}, changes...)...)
}

func automation(changes ...func(*imagev1.ImageUpdateAutomation)) *imagev1.ImageUpdateAutomation {
	a := &imagev1.ImageUpdateAutomation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "auto", UID: "1"},
		Spec: imagev1.ImageUpdateAutomationSpec{
			SourceRef: imagev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "app"},
			Interval:  metav1.Duration{Duration: 30 * time.Minute},
			GitSpec: &imagev1.GitSpec{Commit: imagev1.CommitSpec{
				Author: imagev1.CommitUser{Name: "bot", Email: "bot@example.com"}}},
		}}
	for _, change := range changes {
		change(a)
	}
	return a
}
