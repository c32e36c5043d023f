// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

// fixture is a fetcher, and a Git server with a repository.
type fixture struct {
	*Fetcher
	server *gitserver.Server
	repo   *gitserver.Repo
}

func setup(t *testing.T) *fixture {
	t.Helper()
	server := gitserver.New(t)
	clock := clocktesting.NewFakePassiveClock(time.Unix(1_700_000_000, 0))
	f := &fixture{&Fetcher{Mirrors: git.NewMirrors(t.TempDir(), clock)}, server, server.Repo("org/bases")}
	f.repo.Commit("main", gitserver.Files{
		"app/kustomization.yaml": "resources: [cm.yaml, ../lib]\n", "app/cm.yaml": configMap("app"),
		"lib/kustomization.yaml": "resources: [cm.yaml]\nnamePrefix: lib-\n", "lib/cm.yaml": configMap("cm"),
		"component/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamePrefix: c-\n",
	})
	return f
}

func configMap(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {a: b}\n"
}

// build builds a source by a session of its own, and returns the names of the objects.
func (f *fixture) build(t *testing.T, files map[string]string) (names string, result *build.Result, err error) {
	t.Helper()
	source, err := tree.FromStrings(files)
	if err != nil {
		t.Fatal(err)
	}
	var spec build.Spec
	f.Session("apps").Fetch(t.Context(), &spec)
	if result, err = build.Build(source, spec); err != nil {
		return "", nil, err
	}
	var all []string
	for _, obj := range result.Objects {
		all = append(all, obj.GetName())
	}
	return strings.Join(all, " "), result, nil
}

// at is a kustomization with a resource.
func at(ref string) map[string]string {
	return map[string]string{"kustomization.yaml": fmt.Sprintf("resources: [%q]\n", ref)}
}

func TestARemoteBaseIsBuilt(t *testing.T) {
	f := setup(t)
	head := f.repo.Head("main")
	f.repo.Git("tag", "v1", head)
	f.repo.Commit("main", gitserver.Files{"app/cm.yaml": configMap("newer")})
	for ref, want := range map[string]struct {
		names string
		moves bool
	}{
		"/app":                   {"newer lib-cm", true},
		"//app":                  {"newer lib-cm", true},
		"//app?ref=main":         {"newer lib-cm", true},
		"//app?ref=v1":           {"app lib-cm", true},
		"//app?version=v1":       {"app lib-cm", true},
		"//app?ref=refs/tags/v1": {"app lib-cm", true},
		"//app?ref=" + head:      {"app lib-cm", false},
		"//lib?submodules=no":    {"lib-cm", true},
	} {
		names, result, err := f.build(t, at(f.repo.URL+ref))
		if err != nil || names != want.names || result.Moves != want.moves {
			t.Errorf("%s: built %q, %+v, %v", ref, names, result, err)
		}
	}
}

// Of a tag and a branch of one name git fetch takes the tag.
func TestATagCountsBeforeABranch(t *testing.T) {
	f := setup(t)
	f.repo.Git("tag", "both", "main")
	f.repo.Commit("both", gitserver.Files{"app/kustomization.yaml": "resources: []\n"})
	if names, _, err := f.build(t, at(f.repo.URL+"//app?ref=both")); err != nil || names != "app lib-cm" {
		t.Errorf("built %q, %v", names, err)
	}
}

func TestARefIsAskedForOnceAndACommitNever(t *testing.T) {
	f := setup(t)
	head := f.repo.Head("main")
	twice := map[string]string{"kustomization.yaml": "resources: [a, b]\nnamePrefix: x-\n",
		"a/kustomization.yaml": fmt.Sprintf("resources: [%q]\nnamePrefix: a-\n", f.repo.URL+"//lib"),
		"b/kustomization.yaml": fmt.Sprintf("resources: [%q]\nnamePrefix: b-\n", f.repo.URL+"//app")}
	if names, _, err := f.build(t, twice); err != nil || names != "x-a-lib-cm x-b-app x-b-lib-cm" {
		t.Fatalf("built %q, %v", names, err)
	}
	before := f.server.Requests()
	if _, _, err := f.build(t, twice); err != nil {
		t.Fatal(err)
	}
	if asked := f.server.Requests() - before; asked > 1 {
		t.Errorf("the same once more took %d requests", asked)
	}
	before = f.server.Requests()
	if _, _, err := f.build(t, at(f.repo.URL+"//app?ref="+head)); err != nil || f.server.Requests() != before {
		t.Errorf("a commit that is known took %d requests, %v", f.server.Requests()-before, err)
	}
}

func TestABaseThatMovedIsSeenByTheNextBuild(t *testing.T) {
	f := setup(t)
	first, _, err := f.build(t, at(f.repo.URL+"//app?ref=main"))
	if err != nil {
		t.Fatal(err)
	}
	f.repo.Commit("main", gitserver.Files{"app/cm.yaml": configMap("newer")})
	if second, _, err := f.build(t, at(f.repo.URL+"//app?ref=main")); err != nil || first != "app lib-cm" || second != "newer lib-cm" {
		t.Errorf("built %q, then %q, %v", first, second, err)
	}
}

func TestRemoteBasesMayReferToMore(t *testing.T) {
	f := setup(t)
	other := f.server.Repo("org/other")
	other.Commit("main", gitserver.Files{
		"kustomization.yaml": "resources: [" + f.repo.URL + "//app]\ncomponents: [" + f.repo.URL + "//component]\n",
	})
	if names, _, err := f.build(t, at(other.URL)); err != nil || names != "c-app c-lib-cm" {
		t.Errorf("built %q, %v", names, err)
	}
}

func TestSubmodulesOfARemoteBaseAreFetched(t *testing.T) {
	f := setup(t)
	lib := f.server.Repo("org/lib")
	lib.Commit("main", gitserver.Files{"kustomization.yaml": "resources: [cm.yaml]\n", "cm.yaml": configMap("submodule")})
	commit := lib.Head("main")
	f.repo.Commit("main", gitserver.Files{
		".gitmodules":            "[submodule \"vendor/lib\"]\n\tpath = vendor/lib\n\turl = ../lib\n",
		"all/kustomization.yaml": "resources: [../vendor/lib]\n",
	})
	f.repo.Git("read-tree", "main")
	f.repo.Git("update-index", "--add", "--cacheinfo", "160000,"+commit+",vendor/lib")
	f.repo.Git("update-ref", "refs/heads/main", f.repo.Git("-c", "user.name=t", "-c", "user.email=t@example.com",
		"commit-tree", "-p", "main", "-m", "submodule", f.repo.Git("write-tree")))
	if names, _, err := f.build(t, at(f.repo.URL+"//all")); err != nil || names != "submodule" {
		t.Errorf("built %q, %v", names, err)
	}
	if names, _, err := f.build(t, at(f.repo.URL+"//all?submodules=false")); err == nil {
		t.Errorf("built %q without the submodule", names)
	}
}

// files is a server of files.
func files(t *testing.T, content map[string]string) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
			t.Errorf("somebody is named to the server: %v", r.Header)
		}
		text, ok := content[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	return server
}

func TestRemoteFilesAreFetched(t *testing.T) {
	f := setup(t)
	server := files(t, map[string]string{
		"/cm.yaml": configMap("remote"), "/patch.yaml": "- {op: add, path: /metadata/name, value: patched}\n", "/key.txt": "value",
		"/a.env": "A=1\n",
		"/t.yaml": "apiVersion: builtin\nkind: PrefixTransformer\nmetadata: {name: p}\nprefix: p-\n" +
			"fieldSpecs: [{path: metadata/name}]\n",
		"/schema.json": "{}", "/org/repo/page": "<html>", "/kustomization.yaml": configMap("odd"),
		"/replacement.yaml": "source: {kind: ConfigMap, fieldPath: metadata.name}\n" +
			"targets: [{select: {kind: ConfigMap}, fieldPaths: [data.a]}]\n",
	})
	url := server.URL
	const named = "generatorOptions: {disableNameSuffixHash: true}\n"
	local := map[string]string{"cm.yaml": configMap("cm")}
	for kustomization, want := range map[string]string{
		"resources: [" + url + "/cm.yaml]":                                                                 "remote",
		"resources: [" + url + "/kustomization.yaml]":                                                      "odd",
		"resources: [cm.yaml]\npatches: [{path: " + url + "/patch.yaml, target: {kind: ConfigMap}}]":       "patched",
		"resources: [cm.yaml]\ntransformers: [" + url + "/t.yaml]":                                         "p-cm",
		"resources: [cm.yaml]\nreplacements: [{path: " + url + "/replacement.yaml}]":                       "cm",
		"resources: [cm.yaml]\ncrds: [" + url + "/schema.json]":                                            "cm",
		named + "configMapGenerator: [{name: g, files: [" + url + "/key.txt, other=" + url + "/key.txt]}]": "g",
		named + "secretGenerator: [{name: g, envs: [" + url + "/a.env]}]":                                  "g",
	} {
		source := map[string]string{"kustomization.yaml": kustomization}
		for name, text := range local {
			source[name] = text
		}
		names, result, err := f.build(t, source)
		if err != nil || names != want || !result.Moves {
			t.Errorf("%s: built %q, %v", kustomization, names, err)
		}
	}
	_, result, err := f.build(t, map[string]string{
		"kustomization.yaml": "configMapGenerator: [{name: g, files: [" + url + "/key.txt, other=" + url + "/key.txt]}]",
	})
	if err != nil {
		t.Fatal(err)
	}
	if data := fmt.Sprint(result.Objects[0].Object["data"]); data != "map[key.txt:value other:value]" {
		t.Errorf("the keys are %s", data)
	}
}

func TestTheOriginOfWhatWasFetchedIsNamed(t *testing.T) {
	f := setup(t)
	server := files(t, map[string]string{"/org/repo/dir/cm.yaml": configMap("file")})
	source := map[string]string{"kustomization.yaml": "resources: ['" + f.repo.URL + "//app?ref=main', " +
		server.URL + "/org/repo/dir/cm.yaml, own.yaml]\nbuildMetadata: [originAnnotations]\n", "own.yaml": configMap("own")}
	_, result, err := f.build(t, source)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"path: app/cm.yaml\nrepo: " + f.repo.URL + "\nref: main\n", "path: lib/cm.yaml\nrepo: " + f.repo.URL + "\nref: main\n",
		"path: dir/cm.yaml\nrepo: " + server.URL + "/org/repo\n", "path: own.yaml\n",
	} {
		if got := result.Objects[i].GetAnnotations()["config.kubernetes.io/origin"]; got != want {
			t.Errorf("origin of %s:\n%s\nwant:\n%s", result.Objects[i].GetName(), got, want)
		}
	}
}

func TestWhatCannotBeFetchedIsTold(t *testing.T) {
	f := setup(t)
	f.repo.Commit("main", gitserver.Files{
		"out/kustomization.yaml": "resources: [../../secret.yaml]\n", "up/kustomization.yaml": "resources: [/source/cm.yaml]\n",
		"link/kustomization.yaml": "resources: [cm.yaml]\n", "120000 link/cm.yaml": "../../../etc/passwd",
		"loop/kustomization.yaml": "resources: [" + f.repo.URL + "//loop]\n",
	})
	server := files(t, map[string]string{"/org/repo/page": "<html>hunter2", "/cm.yaml": configMap("a")})
	refused := httptest.NewServer(http.RedirectHandler("ftp://example.com/", http.StatusFound))
	defer refused.Close()
	for ref, want := range map[string]struct {
		text  string
		later bool // it may help to try again
	}{
		f.repo.URL + "//app?ref=none":       {"none is neither a branch nor a tag, nor a whole commit", true},
		f.repo.URL + "//none":               {"none", true},
		f.server.URL + "/org/none.git//app": {"repository not found", true},
		server.URL + "/none.yaml":           {"the server has no such file: it answers 404 Not Found", true},
		server.URL + "/a/none.yaml":         {"repository not found", true},
		server.URL + "/org/repo/page":       {"repository not found", true},
		"git@github.com:org/repo.git//app":  {"over ssh, which needs a key, and none is used", false},
		"file:///etc//app":                  {"file:// leads to files of whoever builds", false},
		// A branch may have something else the next time.
		f.repo.URL + "//out":                   {"../../secret.yaml leads out of " + f.repo.URL, true},
		f.repo.URL + "//up":                    {"cm.yaml leads out of " + f.repo.URL, true},
		f.repo.URL + "//link":                  {"the link leads out of the source", true},
		f.repo.URL + "//loop":                  {"cycle detected", true},
		refused.URL + "/a.yaml":                {"redirects to something else than http or https", true},
		"https://user:hunter2@localhost:1/a/b": {"refused", true},
	} {
		_, _, err := f.build(t, at(ref))
		if err == nil || !strings.Contains(err.Error(), want.text) || strings.Contains(err.Error(), "hunter2") ||
			strings.Contains(err.Error(), "remote-base") {
			t.Errorf("%s: got %v", ref, err)
		}
		if build.IsRefused(err) == want.later {
			t.Errorf("%s: stays refused: %v, %v", ref, build.IsRefused(err), err)
		}
	}
}

// The error was "dial tcp 127.0.0.1:1: connect: connection refused", and nothing else.
func TestWhatCannotBeFetchedIsNamedByFileFieldAndURL(t *testing.T) {
	f := setup(t)
	server := files(t, nil)
	for ref, named := range map[string]string{
		"https://127.0.0.1:1/x.yaml":                      "https://127.0.0.1:1/x.yaml: ",
		"https://user:hunter2@127.0.0.1:1/org/repo//base": "https://xxxxx@127.0.0.1:1/org/repo//base: ",
		server.URL + "/none.yaml":                         server.URL + "/none.yaml: ",
		"git@127.0.0.1:org/fleet//apps/a?ref=main":        "git@127.0.0.1:org/fleet//apps/a?ref=main: ",
	} {
		_, _, err := f.build(t, at(ref))
		if err == nil || !strings.Contains(err.Error(), "kustomization.yaml: resources: "+named) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", ref, err)
		}
	}
}

func TestObjectsLeadToNoForbiddenAddress(t *testing.T) {
	f := setup(t)
	f.Guard = outbound.NewGuard([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")})
	f.Mirrors.Guard = f.Guard
	for _, ref := range []string{
		"http://169.254.169.254/latest/a.yaml", "http://127.0.0.1:1/a.yaml", f.repo.URL + "//app", "http://localhost:1/org/repo//app",
	} {
		if _, _, err := f.build(t, at(ref)); !errors.Is(err, outbound.ErrForbiddenAddress) {
			t.Errorf("%s: got %v", ref, err)
		}
	}
	elsewhere := files(t, map[string]string{"/a.yaml": configMap("a")})
	f.Guard = outbound.NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")})
	to := strings.Replace(elsewhere.URL, "127.0.0.1", "[::1]", 1) + "/a.yaml"
	redirecting := httptest.NewServer(http.RedirectHandler(to, http.StatusFound))
	defer redirecting.Close()
	if _, _, err := f.build(t, at(redirecting.URL+"/b.yaml")); !errors.Is(err, outbound.ErrForbiddenAddress) {
		t.Errorf("a redirect leads to a forbidden address: %v", err)
	}
}

func TestWhatABuildFetchesIsBounded(t *testing.T) {
	f := setup(t)
	large := files(t, map[string]string{"/a.yaml": configMap("a") + "# " + strings.Repeat("x", maxFile)})
	if _, _, err := f.build(t, at(large.URL+"/a.yaml")); !errors.Is(err, build.ErrTooLarge) || !build.IsRefused(err) {
		t.Errorf("a large file: %.300v", err)
	}
	small := files(t, map[string]string{"/a.yaml": configMap("a")})
	var many strings.Builder
	for i := range 101 {
		fmt.Fprintf(&many, "- %s/a.yaml?%d\n", small.URL, i)
	}
	_, _, err := f.build(t, map[string]string{"kustomization.yaml": "resources:\n" + many.String()})
	if !errors.Is(err, build.ErrTooLarge) || !strings.Contains(err.Error(), "more than 100 remote bases and files") {
		t.Errorf("many files: %v", err)
	}
	session := f.Session("apps")
	session.size = maxFiles
	if _, err := session.file(t.Context(), small.URL+"/a.yaml"); !errors.Is(err, build.ErrTooLarge) {
		t.Errorf("all files of a build: %v", err)
	}
}
