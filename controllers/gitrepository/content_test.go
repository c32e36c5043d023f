// SPDX-License-Identifier: Apache-2.0

package gitrepository_test

import (
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/source/sourcetest"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/test/make"
)

func including(name, from, to string) []sourcev1.GitRepositoryInclude {
	return []sourcev1.GitRepositoryInclude{{
		GitRepositoryRef: meta.LocalObjectReference{Name: name}, FromPath: from, ToPath: to,
	}}
}

// has checks the files of the artifact, of which only those that are named have a content
// that counts.
func (f *fixture) has(want map[string]string) {
	f.Helper()
	if diff := cmp.Diff(want, f.files()); diff != "" {
		f.Error(diff)
	}
}

func TestASparseCheckoutHasItsDirectoriesOnly(t *testing.T) {
	f := setup(t)
	f.repo.Commit("main", files{"a/x": "1", "a/b/y": "2", "c/d/z": "3", "c/w": "4", ".sourceignore": "x\n"})
	f.obj.Spec.SparseCheckout = []string{"./c/d/", "a/b", "a"}
	f.must()
	f.has(map[string]string{"a/x": "1", "a/b/y": "2", "c/d/z": "3"})
	if got := f.obj.Status.ObservedSparseCheckout; !cmp.Equal(got, f.obj.Spec.SparseCheckout) {
		t.Errorf("observed %v", got)
	}
	sparse := f.obj.Status.Artifact
	if result := f.must(); len(result.Events) > 0 || f.obj.Status.Artifact.Digest != sparse.Digest {
		t.Error("it was made again")
	}
	f.repo.Commit("main", files{"c/w": "5"})
	f.must()
	if f.obj.Status.Artifact.Digest != sparse.Digest || f.obj.Status.Artifact.Revision == sparse.Revision {
		t.Error("a change outside of it changes its digest")
	}
	f.repo.Commit("main", files{"c/d/z": "6"})
	f.must()
	f.has(map[string]string{"a/x": "1", "a/b/y": "2", "c/d/z": "6"})
	f.restart()
	f.obj.Spec.SparseCheckout = nil
	f.must()
	if got := f.files()["c/w"]; got != "5" || f.obj.Status.ObservedSparseCheckout != nil {
		t.Errorf("without it, c/w is %q", got)
	}
	if strings.Contains(f.obj.Status.Artifact.Path, "-") {
		t.Errorf("the commit as it is lies at %s", f.obj.Status.Artifact.Path)
	}
}

// other is another source, whose artifact is in the same store.
func (f *fixture) other(name string, content files) *sourcev1.GitRepository {
	f.Helper()
	repo := f.server.Repo(name)
	repo.Commit("main", content)
	obj := make.GitRepository("apps", name, func(r *sourcev1.GitRepository) { r.Spec.URL = repo.URL })
	if _, err := f.Reconcile(f.Context(), obj); err != nil {
		f.Fatal(err)
	}
	return obj
}

func TestArtifactsOfOtherSourcesAreIncluded(t *testing.T) {
	f := setup(t)
	lib := f.other("lib", files{"base/a.yaml": "a", "base/sub/b.yaml": "b", "README": "r"})
	f.objects = append(f.objects, lib)
	f.restart()
	f.obj.Spec.Include = append(including("lib", "base", "deploy/base"), including("lib", "", "")...)
	f.must()
	all := map[string]string{
		"deploy/app.yaml": "n: 1\n", "deploy/base/a.yaml": "a", "deploy/base/sub/b.yaml": "b",
		"lib/base/a.yaml": "a", "lib/base/sub/b.yaml": "b", "lib/README": "r",
	}
	f.has(all)
	included := f.obj.Status.IncludedArtifacts
	if len(included) != 2 || included[0].Digest != lib.Status.Artifact.Digest || !cmp.Equal(f.obj.Status.ObservedInclude, f.obj.Spec.Include) {
		t.Errorf("the status is %+v", f.obj.Status)
	}
	first := f.obj.Status.Artifact.DeepCopy()
	if result := f.must(); len(result.Events) > 0 {
		t.Error("it was made again")
	}

	f.objects = []ctrlclient.Object{f.other("lib", files{"README": "r2"})}
	f.restart()
	result := f.must()
	all["lib/README"] = "r2"
	f.has(all)
	a := f.obj.Status.Artifact
	if a.Revision != first.Revision || a.Digest == first.Digest || a.Path == first.Path || len(result.Events) != 1 {
		t.Errorf("the artifact is %+v, was %+v; events %v", a, first, result.Events)
	}

	f.obj.Spec.Include = nil
	f.must()
	f.has(map[string]string{"deploy/app.yaml": "n: 1\n"})
	if f.obj.Status.IncludedArtifacts != nil || f.obj.Status.ObservedInclude != nil {
		t.Errorf("the status is %+v", f.obj.Status)
	}
}

func TestIncludesThatFail(t *testing.T) {
	f := setup(t)
	lib := f.other("lib", files{"x": "1"})
	empty := make.GitRepository("apps", "empty")
	round := make.GitRepository("apps", "round", func(r *sourcev1.GitRepository) { r.Spec.Include = including("app", "", "") })
	f.objects = []ctrlclient.Object{lib, empty, round}
	f.restart()
	twice := append(including("lib", "", "z"), including("lib", "", "z")...)
	for name, tc := range map[string]struct {
		include      []sourcev1.GitRepositoryInclude
		reason, says string
	}{
		"one without an artifact":         {including("empty", "", ""), "NoArtifact", "no artifact available for include 'empty'"},
		"one that goes where files are":   {including("lib", "", "deploy"), "CopyFailure", "toPath 'deploy' is there already"},
		"one that goes below a file":      {including("lib", "", "logo.png/x"), "CopyFailure", "toPath 'logo.png/x' is there already"},
		"one of a path that is not there": {including("lib", "gone", ""), "CopyFailure", "fromPath 'gone' is not in the artifact"},
		"one that includes this one":      {including("round", "", ""), "CopyFailure", "leads back to 'app' itself"},
		"two in one place":                {twice, "CopyFailure", "toPath 'z' is there already"},
	} {
		t.Run(name, func(t *testing.T) {
			f.obj.Spec.Include = tc.include
			_, err := f.reconcile()
			if err == nil || reconciler.ReasonOf(err, f.Reason) != tc.reason || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("failed with %q: %v", reconciler.ReasonOf(err, f.Reason), err)
			}
			c := apimeta.FindStatusCondition(f.obj.Status.Conditions, sourcev1.IncludeUnavailableCondition)
			if c == nil || c.Reason != tc.reason {
				t.Errorf("the condition is %+v", c)
			}
		})
	}
	f.obj.Spec.Include = including("lib", "x", "deploy/one-file")
	f.must()
	f.has(map[string]string{"deploy/app.yaml": "n: 1\n", "deploy/one-file": "1"})
	if c := apimeta.FindStatusCondition(f.obj.Status.Conditions, sourcev1.IncludeUnavailableCondition); c != nil {
		t.Errorf("after recovery: %+v", c)
	}
}

// addSubmodule commits a submodule at a path.
func addSubmodule(repo *gitserver.Repo, at, url, commit string) {
	modules := "[submodule \"" + at + "\"]\n\tpath = " + at + "\n\turl = " + url + "\n"
	repo.Commit("main", files{".gitmodules": modules})
	repo.Git("read-tree", "main")
	repo.Git("update-index", "--add", "--cacheinfo", "160000,"+commit+","+at)
	tree := repo.Git("write-tree")
	repo.Git("update-ref", "refs/heads/main", repo.Git("-c", "user.name=t", "-c", "user.email=t@example.com",
		"commit-tree", "-p", "main", "-m", "submodule", tree))
}

func TestSubmodulesAreFetched(t *testing.T) {
	f := setup(t, gitserver.WithBasicAuth("user", "secret"))
	f.obj.Spec.SecretRef = &meta.LocalObjectReference{Name: "creds"}
	deep := f.server.Repo("deep")
	deep.Commit("main", files{"deep.yaml": "d"})
	lib := f.server.Repo("lib")
	lib.Commit("main", files{"lib.yaml": "l"})
	addSubmodule(lib, "nested/deep", "../deep", deep.Head("main"))
	addSubmodule(f.repo, "vendor/lib", "../lib", lib.Head("main"))
	f.must()
	if _, there := f.files()["vendor/lib/lib.yaml"]; there {
		t.Error("a submodule is there that nobody asked for")
	}
	f.obj.Spec.RecurseSubmodules = true
	f.must()
	got := f.files()
	if got["vendor/lib/lib.yaml"] != "l" || got["vendor/lib/nested/deep/deep.yaml"] != "d" || got["deploy/app.yaml"] != "n: 1\n" {
		t.Errorf("the files are %v", got)
	}
	if !f.obj.Status.ObservedRecurseSubmodules {
		t.Error("the status does not say it")
	}
	asked := f.server.Requests()
	f.must()
	if now := f.server.Requests(); now-asked > 2 {
		t.Errorf("a steady look asked %d times", now-asked)
	}
	f.obj.Spec.SparseCheckout = []string{"deploy"}
	f.must()
	f.has(map[string]string{"deploy/app.yaml": "n: 1\n"})
}

// TestCredentialsDoNotFollowASubmoduleToAnotherHost: whoever may write .gitmodules is not
// whoever may read the Secret.
func TestCredentialsDoNotFollowASubmoduleToAnotherHost(t *testing.T) {
	f := setup(t, gitserver.WithBasicAuth("user", "secret"))
	f.obj.Spec.SecretRef = &meta.LocalObjectReference{Name: "creds"}
	elsewhere := gitserver.New(t, gitserver.WithBasicAuth("user", "secret"))
	lib := elsewhere.Repo("lib")
	lib.Commit("main", files{"lib.yaml": "l"})
	addSubmodule(f.repo, "lib", lib.URL, lib.Head("main"))
	f.obj.Spec.RecurseSubmodules = true
	_, err := f.reconcile()
	if err == nil || !strings.Contains(err.Error(), `submodule "lib"`) {
		t.Fatal(err)
	}
	if reason := reconciler.ReasonOf(err, f.Reason); reason != sourcev1.AuthenticationFailedReason {
		t.Errorf("failed with %q: %v", reason, err)
	}
}

// What Flux's controller had begun, or had failed at, stayed beside Ready for ever.
func TestConditionsOfFluxGoOnceTheArtifactIsThere(t *testing.T) {
	f := setup(t)
	for range 2 { // an artifact that is new, and one that is there
		sourcetest.TakenOver(f.obj)
		f.must()
		sourcetest.CheckNoFailures(t, f.obj)
	}
}
