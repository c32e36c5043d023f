// SPDX-License-Identifier: Apache-2.0

package gitrepository_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/disk"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/source"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

func TestArtifactFollowsTheBranch(t *testing.T) {
	f := setup(t)
	first := f.repo.Head("main")
	result := f.must()
	revision := "main@sha1:" + first
	if result.Reason != meta.SucceededReason || result.Message != "stored artifact for revision '"+revision+"'" {
		t.Errorf("result is %+v", result)
	}
	if result.After < 57*time.Second || result.After > 63*time.Second {
		t.Errorf("comes back after %s, want a minute and at most 5%% off", result.After)
	}
	a := f.obj.Status.Artifact
	if a.Revision != revision || a.URL != "http://store.example.com/gitrepository/apps/app/"+first+".tar.gz" || !f.Publisher.Store.Holds(a) {
		t.Errorf("artifact is %+v", a)
	}
	want := []reconciler.Event{{
		Type: corev1.EventTypeNormal, Reason: "NewArtifact",
		Message:  "stored artifact for commit '" + f.repo.Git("log", "-1", "--format=%s", "main") + "'",
		Metadata: map[string]string{"source.toolkit.fluxcd.io/revision": revision, "source.toolkit.fluxcd.io/digest": a.Digest},
	}}
	if diff := cmp.Diff(want, result.Events); diff != "" {
		t.Error(diff)
	}
	condition := apimeta.FindStatusCondition(f.obj.Status.Conditions, sourcev1.ArtifactInStorageCondition)
	if condition == nil || condition.Status != metav1.ConditionTrue || condition.Message != result.Message ||
		condition.ObservedGeneration != 1 {
		t.Errorf("condition is %+v", condition)
	}

	t.Run("an unchanged revision changes nothing and costs one request", func(t *testing.T) {
		before, requests := f.obj.DeepCopy(), f.server.Requests()
		f.clock.Step(time.Hour)
		if result := f.must(); len(result.Events) != 0 {
			t.Errorf("events: %v", result.Events)
		}
		if diff := cmp.Diff(before, f.obj); diff != "" {
			t.Error(diff)
		}
		if cost := f.server.Requests() - requests; cost != 1 {
			t.Errorf("it cost %d requests", cost)
		}
	})
	t.Run("a new commit makes a new artifact", func(t *testing.T) {
		f.repo.Commit("main", files{"deploy/app.yaml": "n: 2\n"})
		if result := f.must(); len(result.Events) != 1 {
			t.Errorf("events: %v", result.Events)
		}
		if diff := cmp.Diff(map[string]string{"deploy/app.yaml": "n: 2\n"}, f.files()); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("other ignore rules make a new artifact of the same commit", func(t *testing.T) {
		all := "!*"
		f.obj.Spec.Ignore = &all
		digest := f.obj.Status.Artifact.Digest
		if result := f.must(); len(result.Events) != 1 || f.obj.Status.Artifact.Digest == digest || *f.obj.Status.ObservedIgnore != all {
			t.Errorf("events %v, status %+v", result.Events, f.obj.Status)
		}
		if _, ok := f.files()["logo.png"]; !ok {
			t.Error("the file that is not ignored any more is missing")
		}
	})
	t.Run("a commit that was pushed from here is taken up with one look", func(t *testing.T) {
		m, err := f.Mirrors.Get(t.Context(), git.Remote{URL: f.repo.URL})
		if err != nil {
			t.Fatal(err)
		}
		head, _ := m.Resolve(t.Context(), "main")
		made, err := m.Write(t.Context(), head, map[string][]byte{"deploy/app.yaml": []byte("n: 3\n")}, git.CommitInfo{Message: "bump"})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "main", Old: head, New: made}); err != nil {
			t.Fatal(err)
		}
		requests := f.server.Requests()
		f.must()
		if cost := f.server.Requests() - requests; cost != 1 || f.obj.Status.Artifact.Revision != "main@sha1:"+made.String() {
			t.Errorf("revision %s after %d requests", f.obj.Status.Artifact.Revision, cost)
		}
	})
}

func TestRestart(t *testing.T) {
	f := setup(t)
	f.must()
	before := f.obj.DeepCopy()
	f.clock.Step(time.Hour)

	t.Run("with all in place nothing is made again", func(t *testing.T) {
		f.restart()
		f.must()
		if diff := cmp.Diff(before, f.obj); diff != "" {
			t.Error(diff)
		}
		if f.Publisher.Store.Published(f.obj.Status.Artifact.Digest) == nil {
			t.Error("consumers are not let into the mirror")
		}
	})
	t.Run("a lost artifact is made again, with the same bytes", func(t *testing.T) {
		if err := os.RemoveAll(filepath.Join(f.dir, "artifacts")); err != nil {
			t.Fatal(err)
		}
		f.restart()
		requests := f.server.Requests()
		if result := f.must(); len(result.Events) != 0 {
			t.Errorf("events: %v", result.Events)
		}
		if diff := cmp.Diff(before, f.obj); diff != "" {
			t.Error(diff)
		}
		if cost := f.server.Requests() - requests; cost != 1 || !f.Publisher.Store.Holds(f.obj.Status.Artifact) {
			t.Errorf("it cost %d requests; in the store: %v", cost, f.Publisher.Store.Holds(f.obj.Status.Artifact))
		}
	})
	t.Run("a lost disk is fetched and made again", func(t *testing.T) {
		for _, dir := range []string{"artifacts", "mirrors"} {
			if err := os.RemoveAll(filepath.Join(f.dir, dir)); err != nil {
				t.Fatal(err)
			}
		}
		f.restart()
		f.must()
		if diff := cmp.Diff(before, f.obj); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("deletion leaves no artifact", func(t *testing.T) {
		if err := f.Clean(client.ObjectKeyFromObject(f.obj)); err != nil {
			t.Fatal(err)
		}
		if f.Publisher.Store.Holds(f.obj.Status.Artifact) {
			t.Error("the artifact is still there")
		}
	})
}

func TestRefs(t *testing.T) {
	f := setup(t)
	first := f.repo.Head("main")
	for _, tag := range []string{"v1.0.0", "v1.2.0", "1.10.0", "2.0.0-rc.1", "nightly"} {
		f.repo.Git("-c", "user.name=t", "-c", "user.email=t@example.com", "tag", "-a", "-m", "x", tag, first)
	}
	f.repo.Git("update-ref", "refs/pull/7/head", first)
	second := f.repo.Commit("main", files{"deploy/app.yaml": "n: 2\n"})
	f.repo.Git("branch", "master", second)
	tests := map[string]struct {
		ref  *sourcev1.GitRepositoryRef
		want string
	}{
		"nothing means master":            {nil, "master@sha1:" + second},
		"a branch":                        {&sourcev1.GitRepositoryRef{Branch: "main"}, "main@sha1:" + second},
		"a tag before a branch":           {&sourcev1.GitRepositoryRef{Tag: "v1.0.0", Branch: "main"}, "v1.0.0@sha1:" + first},
		"semver before a tag":             {&sourcev1.GitRepositoryRef{SemVer: ">=1.0.0", Tag: "nightly"}, "1.10.0@sha1:" + first},
		"a prerelease if it is asked for": {&sourcev1.GitRepositoryRef{SemVer: ">=1.0.0-0"}, "2.0.0-rc.1@sha1:" + first},
		"a name before semver":            {&sourcev1.GitRepositoryRef{Name: "refs/pull/7/head", SemVer: "*"}, "refs/pull/7/head@sha1:" + first},
		"a commit before all":             {&sourcev1.GitRepositoryRef{Commit: first, Name: "refs/heads/main"}, "sha1:" + first},
		"a commit of a branch":            {&sourcev1.GitRepositoryRef{Commit: first, Branch: "main"}, "main@sha1:" + first},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f.obj.Spec.Reference = tc.ref
			f.must()
			if got := f.obj.Status.Artifact.Revision; got != tc.want {
				t.Errorf("revision is %s, want %s", got, tc.want)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	tests := map[string]struct {
		server    []gitserver.Option
		spoil     func(f *fixture)
		reason    string
		says      string
		terminal  bool
		condition string
	}{
		"no such branch": {
			spoil:  func(f *fixture) { f.obj.Spec.Reference.Branch = "none" },
			reason: sourcev1.GitOperationFailedReason, says: "refs/heads/none", condition: sourcev1.FetchFailedCondition,
		},
		"no version in range": {
			spoil:  func(f *fixture) { f.obj.Spec.Reference.SemVer = ">1" },
			reason: sourcev1.GitOperationFailedReason, says: "no match found for semver: >1", condition: sourcev1.FetchFailedCondition,
		},
		"an empty repository": {
			spoil:  func(f *fixture) { f.obj.Spec.URL = f.server.Repo("empty").URL },
			reason: "EmptyGitRepository", says: "git repository is empty", condition: sourcev1.FetchFailedCondition,
		},
		"no such Secret": {
			spoil:  func(f *fixture) { f.obj.Spec.SecretRef = &meta.LocalObjectReference{Name: "none"} },
			reason: sourcev1.AuthenticationFailedReason, says: "not found: create it, or correct the name", condition: sourcev1.FetchFailedCondition,
		},
		"refused credentials": {
			server:    []gitserver.Option{gitserver.WithBasicAuth("user", "other")},
			spoil:     func(f *fixture) { f.obj.Spec.SecretRef = &meta.LocalObjectReference{Name: "creds"} },
			reason:    sourcev1.AuthenticationFailedReason,
			says:      "refuses the credentials: status 401 Unauthorized; the credentials are those of Secret apps/creds, spec.secretRef",
			condition: sourcev1.FetchFailedCondition,
		},
		"no credentials where some are needed": {
			server: []gitserver.Option{gitserver.WithBasicAuth("user", "other")}, spoil: func(*fixture) {},
			reason: sourcev1.AuthenticationFailedReason, says: "; there are no credentials: look at spec.url, or set spec.secretRef",
			condition: sourcev1.FetchFailedCondition,
		},
		"a repository that is not there": {
			spoil:  func(f *fixture) { f.obj.Spec.URL = f.server.URL + "/none.git" },
			reason: sourcev1.GitOperationFailedReason, says: "/none.git: repository not found: status 404 Not Found; there are no credentials",
			condition: sourcev1.FetchFailedCondition,
		},
		"a Secret without a key for SSH": {
			spoil: func(f *fixture) {
				f.obj.Spec.URL, f.obj.Spec.SecretRef = "ssh://git@git.example.com/app", &meta.LocalObjectReference{Name: "creds"}
			},
			reason: sourcev1.AuthenticationFailedReason, condition: sourcev1.FetchFailedCondition,
			says: "ssh://git.example.com/app: unusable credentials: an ssh:// URL needs a Secret with the keys 'identity' and 'known_hosts'; " +
				"the credentials are those of Secret apps/creds, spec.secretRef",
		},
		"a server that hangs": {
			spoil: func(f *fixture) {
				f.obj.Spec.Timeout = &metav1.Duration{Duration: 50 * time.Millisecond}
				f.server.Intercept(func(http.Handler) http.Handler {
					return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
				})
			},
			reason: sourcev1.GitOperationFailedReason, says: "cannot be reached", condition: sourcev1.FetchFailedCondition,
		},
		"a store that cannot be written": {
			spoil: func(f *fixture) {
				if err := os.WriteFile(filepath.Join(f.dir, "artifacts"), nil, 0o600); err != nil {
					f.Fatal(err)
				}
			},
			reason: sourcev1.ArchiveOperationFailedReason, says: "unable to archive", condition: sourcev1.StorageOperationFailedCondition,
		},
		"a scheme that is not spoken": {
			spoil:  func(f *fixture) { f.obj.Spec.URL = "ftp://git@example.com/app" },
			reason: sourcev1.URLInvalidReason, says: "spec.url: ", terminal: true, condition: sourcev1.FetchFailedCondition,
		},
		"a repository of SHA-256": {
			spoil: func(f *fixture) {
				if err := errors.Join(os.RemoveAll(f.repo.Dir), os.Mkdir(f.repo.Dir, 0o700)); err != nil {
					f.Fatal(err)
				}
				f.repo.Git("init", "-q", "--bare", "--object-format=sha256", "-b", "main")
				f.repo.Commit("main", nil)
			},
			reason: sourcev1.GitOperationFailedReason, says: "spec.url: ", terminal: true, condition: sourcev1.FetchFailedCondition,
		},
		"a server that names its commit and does not hand it out": {
			spoil: func(f *fixture) {
				f.server.Intercept(func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						asked, _ := io.ReadAll(r.Body)
						if bytes.Contains(asked, []byte("want ")) {
							http.Error(w, "no", http.StatusForbidden)
							return
						}
						r.Body = io.NopCloser(bytes.NewReader(asked))
						next.ServeHTTP(w, r)
					})
				})
			},
			reason: sourcev1.AuthenticationFailedReason,
			says:   "failed to checkout and determine revision: ", condition: sourcev1.FetchFailedCondition,
		},
		"a range that is none": {
			spoil:    func(f *fixture) { f.obj.Spec.Reference.SemVer = "one" },
			reason:   sourcev1.GitOperationFailedReason,
			says:     "spec.ref.semver: invalid reference: improper constraint: \"one\": write a range such as 1.x, ~1.4 or >=1.0.0 <2.0.0",
			terminal: true, condition: sourcev1.FetchFailedCondition,
		},
		"a branch that is misspelt": {
			spoil:  func(f *fixture) { f.obj.Spec.Reference.Branch = "mian" },
			reason: sourcev1.GitOperationFailedReason, condition: sourcev1.FetchFailedCondition,
			says: " (did you mean main?); correct spec.ref, or push what it names",
		},
		"a short commit": {
			spoil:  func(f *fixture) { f.obj.Spec.Reference.Commit = "abc" },
			reason: sourcev1.GitOperationFailedReason, says: "spec.ref.commit: invalid reference: \"abc\" is no full commit id",
			terminal: true, condition: sourcev1.FetchFailedCondition,
		},
		"a GitHub App without its data": {
			spoil:  func(f *fixture) { f.obj.Spec.Provider = sourcev1.GitProviderGitHub },
			reason: sourcev1.InvalidProviderConfigurationReason,
			says:   "secretRef with github app data must be specified", terminal: true, condition: sourcev1.FetchFailedCondition,
		},
		"the identity of a cloud for a server of anybody's": {
			spoil:  func(f *fixture) { f.obj.Spec.Provider = sourcev1.GitProviderAzure },
			reason: sourcev1.InvalidProviderConfigurationReason, says: "over https only", terminal: true, condition: sourcev1.FetchFailedCondition,
		},
		"more ignore rules than are looked at": {
			spoil:  func(f *fixture) { f.obj.Spec.Ignore = ptr.To(strings.Repeat("x\n", 5000)) },
			reason: sourcev1.ArchiveOperationFailedReason, says: "spec.ignore: ignore rules are too large", terminal: true,
			condition: sourcev1.StorageOperationFailedCondition,
		},
		"a commit with as many": {
			spoil:  func(f *fixture) { f.repo.Commit("main", files{".sourceignore": strings.Repeat("x\n", 5000)}) },
			reason: sourcev1.ArchiveOperationFailedReason, says: ".sourceignore: ignore rules are too large",
			condition: sourcev1.StorageOperationFailedCondition,
		},
		"an artifact that needs more memory than a namespace may have": {
			spoil: func(f *fixture) {
				f.Publisher.Memory = budget.New(10 << 20)
				f.repo.Commit("main", files{"large": strings.Repeat("x", 4<<20)})
			},
			reason: sourcev1.ArchiveOperationFailedReason, says: "more memory than one namespace may use",
			condition: sourcev1.StorageOperationFailedCondition,
		},
		"a storage folder without room": {
			spoil: func(f *fixture) {
				f.Mirrors = git.NewMirrors(f.TempDir(), f.clock)
				f.Mirrors.Space = disk.New(100)
			},
			reason: sourcev1.ArchiveOperationFailedReason, says: "no room in the storage folder: all 100 bytes of --storage-limit",
			condition: sourcev1.StorageOperationFailedCondition,
		},
		"a storage folder without room for the artifact": {
			spoil:  func(f *fixture) { f.Publisher.Store.Space = disk.New(100) },
			reason: sourcev1.ArchiveOperationFailedReason, says: "no room in the storage folder",
			condition: sourcev1.StorageOperationFailedCondition,
		},
		"a service account without the feature gate": {
			spoil: func(f *fixture) {
				f.obj.Spec.Provider, f.obj.Spec.ServiceAccountName = sourcev1.GitProviderAzure, "team"
			},
			reason: meta.FeatureGateDisabledReason, says: "ObjectLevelWorkloadIdentity", terminal: true, condition: sourcev1.FetchFailedCondition,
		},
		"a proxy whose Secret is missing": {
			spoil:  func(f *fixture) { f.obj.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: "proxy"} },
			reason: sourcev1.AuthenticationFailedReason, says: "spec.proxySecretRef: failed to get secret", condition: sourcev1.FetchFailedCondition,
		},
		"a directory of a sparse checkout that is not there": {
			spoil:  func(f *fixture) { f.obj.Spec.SparseCheckout = []string{"deploy", "gone"} },
			reason: sourcev1.GitOperationFailedReason, says: "has no directory 'gone'", condition: sourcev1.FetchFailedCondition,
		},
		"a directory of a sparse checkout that is a file": {
			spoil:  func(f *fixture) { f.obj.Spec.SparseCheckout = []string{"logo.png"} },
			reason: sourcev1.GitOperationFailedReason, says: "has no directory 'logo.png'", condition: sourcev1.FetchFailedCondition,
		},
		"a directory of a sparse checkout outside of the repository": {
			spoil:  func(f *fixture) { f.obj.Spec.SparseCheckout = []string{"../x"} },
			reason: sourcev1.GitOperationFailedReason, says: `"../x" leads out`, terminal: true, condition: sourcev1.FetchFailedCondition,
		},
		"an include that is not there": {
			spoil:  func(f *fixture) { f.obj.Spec.Include = including("other", "", "") },
			reason: "NotFound", says: "could not get resource for include 'other'", condition: sourcev1.IncludeUnavailableCondition,
		},
		"an include that leads out of the repository": {
			spoil:  func(f *fixture) { f.obj.Spec.Include = including("other", "", "../x") },
			reason: "IllegalPath", says: "'../x' is no path within", terminal: true, condition: sourcev1.IncludeUnavailableCondition,
		},
		"an include that would be all of the repository": {
			spoil:  func(f *fixture) { f.obj.Spec.Include = including("other", "", "./") },
			reason: "IllegalPath", says: "is no path within", terminal: true, condition: sourcev1.IncludeUnavailableCondition,
		},
		"an include of itself": {
			spoil:  func(f *fixture) { f.obj.Spec.Include = including("app", "", "") },
			reason: "CopyFailure", says: "leads back to 'app' itself", terminal: true, condition: sourcev1.IncludeUnavailableCondition,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := setup(t, tc.server...)
			good := f.obj.Spec.DeepCopy()
			tc.spoil(f)
			_, err := f.reconcile()
			if err == nil || reconciler.ReasonOf(err, f.Reason) != tc.reason || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("error %v with reason %q", err, reconciler.ReasonOf(err, f.Reason))
			}
			if got := errors.Is(err, reconcile.TerminalError(nil)); got != tc.terminal {
				t.Errorf("terminal: %v, want %v", got, tc.terminal)
			}
			if tc.condition == "" {
				return
			}
			c := apimeta.FindStatusCondition(f.obj.Status.Conditions, tc.condition)
			if c == nil || c.Status != metav1.ConditionTrue || c.Reason != tc.reason || !strings.Contains(c.Message, tc.says) {
				t.Errorf("condition is %+v", c)
			}
			if len(tc.server) > 0 || cmp.Equal(*good, f.obj.Spec) || good.Timeout != f.obj.Spec.Timeout {
				return // what is wrong is not in the spec
			}
			f.obj.Spec = *good
			f.must()
			if c := apimeta.FindStatusCondition(f.obj.Status.Conditions, tc.condition); c != nil {
				t.Errorf("after recovery: %+v", c)
			}
		})
	}
}

func TestAnArtifactOfAnEarlierProcess(t *testing.T) {
	f := setup(t)
	f.must()
	t.Run("is named by the address that the store has now", func(t *testing.T) {
		f.restart()
		f.Publisher.Store = source.NewStore(filepath.Join(f.dir, "artifacts"), "moved.example.com", f.clock)
		f.must()
		if url := f.obj.Status.Artifact.URL; !strings.HasPrefix(url, "http://moved.example.com/gitrepository/apps/app/") {
			t.Errorf("the URL is %s", url)
		}
	})
	t.Run("that there is no memory to share is told", func(t *testing.T) {
		f.restart()
		f.Publisher.Memory = budget.New(1000)
		_, err := f.reconcile()
		c := apimeta.FindStatusCondition(f.obj.Status.Conditions, sourcev1.StorageOperationFailedCondition)
		if err == nil || c == nil || c.Reason != sourcev1.ArchiveOperationFailedReason {
			t.Errorf("error %v, condition %+v", err, c)
		}
	})
	t.Run("is as good without the mirror", func(t *testing.T) {
		if err := os.RemoveAll(filepath.Join(f.dir, "mirrors")); err != nil {
			t.Fatal(err)
		}
		f.restart()
		requests := f.server.Requests()
		if f.must(); f.server.Requests() != requests+1 {
			t.Errorf("it cost %d requests", f.server.Requests()-requests)
		}
	})
	t.Run("that cannot be removed is told, so that it is tried again", func(t *testing.T) {
		dir := filepath.Join(f.dir, "artifacts", "gitrepository")
		if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		if err := f.Clean(client.ObjectKeyFromObject(f.obj)); err == nil {
			t.Error("no error")
		}
	})
}

func TestSecret(t *testing.T) {
	f := setup(t, gitserver.WithBasicAuth("user", "secret"))
	f.obj.Spec.SecretRef = &meta.LocalObjectReference{Name: "creds"}
	f.must()
	if f.obj.Status.Artifact == nil {
		t.Error("no artifact")
	}
}

func TestTheMirrorGoesWithTheLastSourceThatHasIt(t *testing.T) {
	f := setup(t)
	f.must()
	other := f.obj
	f.obj = f.obj.DeepCopy()
	f.obj.Name = "other"
	f.must()
	mirrors := func() int {
		dirs, err := os.ReadDir(filepath.Join(f.dir, "mirrors"))
		if err != nil {
			t.Fatal(err)
		}
		return len(dirs)
	}
	if n := mirrors(); n != 1 {
		t.Fatalf("%d mirrors of one repository", n)
	}
	if err := f.Clean(client.ObjectKeyFromObject(f.obj)); err != nil || mirrors() != 1 {
		t.Errorf("with the first of two sources: %d mirrors, %v", mirrors(), err)
	}
	f.obj = other
	f.obj.Spec.URL = f.server.Repo("moved").URL
	_, _ = f.reconcile() // it is empty
	if n := mirrors(); n != 1 {
		t.Errorf("after the last source has another URL: %d mirrors", n)
	}
	if err := f.Clean(client.ObjectKeyFromObject(f.obj)); err != nil || mirrors() != 0 {
		t.Errorf("after the last source is gone: %d mirrors, %v", mirrors(), err)
	}
}

func TestNothingStaysOfASourceThatIsGone(t *testing.T) {
	f := setup(t)
	f.must()
	if err := f.Clean(client.ObjectKeyFromObject(f.obj)); err != nil {
		t.Fatal(err)
	}
	if f.Publisher.Store.Holds(f.obj.Status.Artifact) {
		t.Error("its artifact is still there")
	}
	if left, _ := os.ReadDir(filepath.Join(f.dir, "mirrors")); len(left) > 0 {
		t.Errorf("its mirror is still there: %v", left)
	}
}

// Alerts were told of a new artifact when Sluice took over, although it was the same commit.
func TestTheArtifactOfAnotherControllerIsNoNews(t *testing.T) {
	f := setup(t)
	f.must()
	f.obj.Status.Artifact.Digest = "sha256:" + strings.Repeat("0", 64) // archived otherwise
	f.obj.Status.Artifact.URL = "http://source-controller.flux-system.svc.cluster.local./" + f.obj.Status.Artifact.Path
	if result := f.must(); len(result.Events) != 0 || !f.Publisher.Store.Holds(f.obj.Status.Artifact) {
		t.Errorf("events are %v, the artifact is %+v", result.Events, f.obj.Status.Artifact)
	}
}
