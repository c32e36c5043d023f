// SPDX-License-Identifier: Apache-2.0

package fetchrequest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-cd/sluice/internal/reconciler"
)

var pushed = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// follower is a GitRepository that follows the branch which is pushed to.
func follower(namespace, name string, edits ...func(*sourcev1.GitRepository)) *sourcev1.GitRepository {
	repo := &sourcev1.GitRepository{}
	repo.Namespace, repo.Name = namespace, name
	repo.Spec.URL, repo.Spec.Reference = "https://git.example.com/fleet.git", &sourcev1.GitRepositoryRef{Branch: "main"}
	for _, edit := range edits {
		edit(repo)
	}
	return repo
}

func asked(at time.Time) func(*sourcev1.GitRepository) {
	return func(r *sourcev1.GitRepository) {
		r.Annotations = map[string]string{meta.ReconcileRequestAnnotation: at.Format(time.RFC3339Nano)}
	}
}

// fleet is a Requester over GitRepositories of some namespaces, and who was woken.
func fleet(t *testing.T, funcs interceptor.Funcs) (Requester, *woken) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := sourcev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	objects := []client.Object{
		follower("apps", "behind"), follower("apps", "other", func(r *sourcev1.GitRepository) { r.Spec.Reference.Branch = "live" }),
		follower("apps", "has-it", fetched("main@sha1:abc", pushed)), follower("apps", "asked", asked(pushed.Add(time.Second))),
		follower("flux-system", "behind"), follower("stranger", "behind"),
	}
	var got woken
	return Requester{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(funcs).Build(),
		Waker:  &got, Clock: clocktesting.NewFakePassiveClock(pushed.Add(time.Minute)),
	}, &got
}

type woken []string

func (w *woken) Wake(object types.NamespacedName) { *w = append(*w, object.String()) }

// push is one that objects of two namespaces may hear of.
func push() PushedCommit {
	return PushedTo(follower("flux-system", "behind"), "apps", "abc", "main")
}

// requested are the GitRepositories that were asked through the API after the push.
func requested(t *testing.T, s Requester) []string {
	t.Helper()
	var list sourcev1.GitRepositoryList
	if err := s.Client.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range list.Items {
		if at := reconciler.RequestedAt(&list.Items[i]); at.After(pushed.Add(30 * time.Second)) {
			names = append(names, client.ObjectKeyFromObject(&list.Items[i]).String())
		}
	}
	return names
}

func TestThoseWhoFollowABranchFetchWhatWasPushedToIt(t *testing.T) {
	t.Run("this process serves them", func(t *testing.T) {
		s, got := fleet(t, interceptor.Funcs{})
		s.Served = true
		if failed := s.Fetch(t.Context(), push()); len(failed) > 0 {
			t.Fatal(failed)
		}
		slices.Sort(*got)
		if want := []string{"apps/asked", "apps/behind", "flux-system/behind"}; !slices.Equal(*got, want) {
			t.Errorf("woken are %v, want %v", *got, want)
		}
		if names := requested(t, s); len(names) > 0 {
			t.Errorf("asked through the API: %v", names)
		}
	})
	for name, tc := range map[string]struct {
		since time.Time
		want  []string
	}{
		"another controller serves them, right after the push": {want: []string{"apps/asked", "apps/behind", "flux-system/behind"}},
		"another one does, which somebody asked meanwhile":     {since: pushed, want: []string{"apps/behind", "flux-system/behind"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, woken := fleet(t, interceptor.Funcs{})
			p := push()
			p.Since = tc.since
			if failed := s.Fetch(t.Context(), p); len(failed) > 0 {
				t.Fatal(failed)
			}
			if got := requested(t, s); !slices.Equal(got, tc.want) || len(*woken) > 0 {
				t.Errorf("asked are %v, want %v; woken %v", got, tc.want, *woken)
			}
		})
	}
}

func TestAGitRepositoryThatCannotBeAskedKeepsNoOtherFromIt(t *testing.T) {
	away := errors.New("the API server is away")
	for name, tc := range map[string]struct {
		funcs interceptor.Funcs
		says  string
	}{
		"a namespace that cannot be listed": {interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
				if slices.Contains(opts, client.ListOption(client.InNamespace("apps"))) {
					return away
				}
				return c.List(ctx, list, opts...)
			},
		}, "namespace apps"},
		"an object that cannot be annotated": {interceptor.Funcs{
			Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
				if obj.GetNamespace() == "apps" {
					return away
				}
				return c.Patch(ctx, obj, patch, opts...)
			},
		}, "apps/behind"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := fleet(t, tc.funcs)
			p := push()
			p.Since = pushed
			failed := s.Fetch(t.Context(), p)
			if len(failed) != 1 || !errors.Is(failed[0], away) || !strings.Contains(failed[0].Error(), tc.says) {
				t.Errorf("got %v", failed)
			}
			if got := requested(t, s); !slices.Equal(got, []string{"flux-system/behind"}) {
				t.Errorf("asked are %v", got)
			}
		})
	}
}
