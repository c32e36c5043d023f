// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// asked are the GitRepositories that carry a reconcile request, in order.
func (f fixture) asked(t *testing.T) []string {
	t.Helper()
	var list sourcev1.GitRepositoryList
	if err := f.Client.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, repo := range list.Items {
		if repo.Annotations[meta.ReconcileRequestAnnotation] != "" {
			found = append(found, repo.Namespace+"/"+repo.Name)
		}
	}
	slices.Sort(found)
	return found
}

func TestAPushAsksTheSourcesThatOthersServe(t *testing.T) {
	named := func(namespace, name string, changes ...func(*sourcev1.GitRepository)) *sourcev1.GitRepository {
		return source(append(changes, func(r *sourcev1.GitRepository) { r.Namespace, r.Name = namespace, name })...)
	}
	branch := func(name string) func(*sourcev1.GitRepository) {
		return func(r *sourcev1.GitRepository) { r.Spec.Reference.Branch = name }
	}
	for name, tc := range map[string]struct {
		also      client.Object
		push      imagev1.PushSpec
		suspended bool
		want      []string
	}{
		"the automation's own":                   {want: []string{"apps/app"}},
		"no suspended one":                       {suspended: true},
		"another one that reads the same branch": {also: named("apps", "reader"), want: []string{"apps/app", "apps/reader"}},
		"not one that reads another branch":      {also: named("apps", "reader", branch("next")), want: []string{"apps/app"}},
		"not one of another namespace":           {also: named("others", "reader"), want: []string{"apps/app"}},
		"the one that reads the branch pushed to": {
			also: named("apps", "next", branch("next")),
			push: imagev1.PushSpec{Branch: "next"},
			want: []string{"apps/next"},
		},
		"the one that reads the target of the refspec": {
			also: named("apps", "next", branch("next")),
			push: imagev1.PushSpec{Refspec: "refs/heads/main:refs/heads/next"},
			want: []string{"apps/app", "apps/next"},
		},
		"one by another protocol": {also: named("apps", "reader", func(r *sourcev1.GitRepository) {
			r.Spec.URL = "ssh://git@127.0.0.1:22/app"
		}), want: []string{"apps/app", "apps/reader"}},
		"not one of another repository": {also: named("apps", "reader", func(r *sourcev1.GitRepository) {
			r.Spec.URL = "https://127.0.0.1/other.git"
		}), want: []string{"apps/app"}},
	} {
		t.Run(name, func(t *testing.T) {
			objects := []client.Object{credentials(), source(func(r *sourcev1.GitRepository) { r.Spec.Suspend = tc.suspended }), policy("2")}
			if tc.also != nil {
				objects = append(objects, tc.also)
			}
			f := newFixture(t, objects...)
			f.ServesSources = false
			a := automation(func(a *imagev1.ImageUpdateAutomation) { a.Spec.GitSpec.Push = &tc.push })
			if _, err := f.Reconcile(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, f.asked(t)); diff != "" {
				t.Errorf("asked for a reconcile (-want +got):\n%s", diff)
			}
			if len(*f.woken) > 0 {
				t.Errorf("woken inside the process: %v", *f.woken)
			}
		})
	}
}

func TestASourceThatWasNotAskedIsAskedAtTheNextRun(t *testing.T) {
	f := newFixture(t, credentials(), source(), policy("2"))
	f.ServesSources = false
	answering := f.Client
	f.Client = interceptor.NewClient(answering.(client.WithWatch), interceptor.Funcs{
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return errors.New("no rights")
		},
	})
	a := automation()
	result, err := f.Reconcile(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	last := result.Events[len(result.Events)-1]
	if last.Reason != imagev1.SourceRequestFailedReason ||
		!strings.Contains(last.Message, "annotating GitRepository 'apps/app': no rights; commit '"+a.Status.LastPushCommit[:7]) {
		t.Errorf("event %+v", last)
	}

	f.Client = answering
	if _, err = f.Reconcile(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	var repo sourcev1.GitRepository
	read := func() string {
		if err := f.Client.Get(t.Context(), client.ObjectKey{Namespace: "apps", Name: "app"}, &repo); err != nil {
			t.Fatal(err)
		}
		return repo.Annotations[meta.ReconcileRequestAnnotation]
	}
	first := read()
	if at, err := time.Parse(time.RFC3339Nano, first); err != nil || at.Before(a.Status.LastPushTime.Time) {
		t.Errorf("asked at %q, %v; pushed at %s", first, err, a.Status.LastPushTime)
	}
	if _, err := f.Reconcile(t.Context(), a); err != nil || read() != first {
		t.Errorf("asked again at %q although it was asked at %q, %v", read(), first, err)
	}
}

func TestASourceThatHasTheCommitIsNotAsked(t *testing.T) {
	f := newFixture(t, credentials(), source(), policy("2"))
	a := automation()
	if _, err := f.Reconcile(t.Context(), a); err != nil { // pushes, and tells the process
		t.Fatal(err)
	}
	f.ServesSources = false
	var repo sourcev1.GitRepository
	if err := f.Client.Get(t.Context(), client.ObjectKey{Namespace: "apps", Name: "app"}, &repo); err != nil {
		t.Fatal(err)
	}
	repo.Status.Artifact = &meta.Artifact{Revision: "main@sha1:" + a.Status.LastPushCommit}
	if err := f.Client.Update(t.Context(), &repo); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Reconcile(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if asked := f.asked(t); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
}
