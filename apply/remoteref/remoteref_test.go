// SPDX-License-Identifier: Apache-2.0

package remoteref

import (
	"errors"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The cases are those of kustomize's own tests (api/internal/git/repospec_test.go) and documentation.
func TestParse(t *testing.T) {
	for text, want := range map[string]Repository{
		"https://git-codecommit.us-east-2.amazonaws.com/someorg/somerepo/somedir?ref=testbranch": {
			URL: "https://git-codecommit.us-east-2.amazonaws.com/someorg/somerepo", Path: "somedir", Ref: "testbranch",
		},
		"https://fabrikops2.visualstudio.com/someorg/somerepo?ref=master": {
			URL: "https://fabrikops2.visualstudio.com/someorg/somerepo", Ref: "master",
		},
		"http://github.com/someorg/somerepo/somedir":     {URL: "https://github.com/someorg/somerepo", Path: "somedir"},
		"git@github.com:someorg/somerepo/somedir":        {URL: "ssh://git@github.com/someorg/somerepo", Path: "somedir"},
		"http://github.com/someorg/somerepo.git/somedir": {URL: "https://github.com/someorg/somerepo.git", Path: "somedir"},
		"git@github.com:someorg/somerepo.git/somedir":    {URL: "ssh://git@github.com/someorg/somerepo.git", Path: "somedir"},
		"org-12345@github.com/someorg/somerepo":          {URL: "ssh://org-12345@github.com/someorg/somerepo"},
		"gitHub.com/someOrg/someRepo/foo/krusty.txt?ref=v0.1.0": {
			URL: "https://github.com/someOrg/someRepo", Path: "foo/krusty.txt", Ref: "v0.1.0",
		},
		"github.com:kubernetes/website?ref=group/version":     {URL: "https://github.com/kubernetes/website", Ref: "group/version"},
		"hTTps://github.com/kubernetes/website/README.md":     {URL: "https://github.com/kubernetes/website", Path: "README.md"},
		"ssh://git.example.com:7999/someOrg/someRepo":         {URL: "ssh://git.example.com:7999/someOrg/someRepo"},
		"git::https://gitlab.com/someOrg/someRepo?ref=master": {URL: "https://gitlab.com/someOrg/someRepo", Ref: "master"},
		"git::git@github.com:someOrg/someRepo":                {URL: "ssh://git@github.com/someOrg/someRepo"},
		"git@gitlab2.sqtools.ru:infra/kubernetes/thanos-base.git?ref=v0.1.0": {
			URL: "ssh://git@gitlab2.sqtools.ru/infra/kubernetes/thanos-base.git", Ref: "v0.1.0",
		},
		"git@bitbucket.org:company/project.git//path?ref=branch": {
			URL: "ssh://git@bitbucket.org/company/project.git", Path: "path", Ref: "branch",
		},
		"ssh://git@bitbucket.org/company/project.git//path?ref=branch": {
			URL: "ssh://git@bitbucket.org/company/project.git", Path: "path", Ref: "branch",
		},
		"https://itfs.mycompany.com/collection/project/_git/somerepos": {URL: "https://itfs.mycompany.com/collection/project/_git/somerepos"},
		"https://itfs.mycompany.com/collection/project/_git/somerepos/somedir?version=v1.0.0": {
			URL: "https://itfs.mycompany.com/collection/project/_git/somerepos", Path: "somedir", Ref: "v1.0.0",
		},
		"https://user@dev.azure.com/org/project/_git/repo/path/to/root?ref=main&version=old": {
			URL: "https://user@dev.azure.com/org/project/_git/repo", Path: "path/to/root", Ref: "main",
		},
		"https://gitlab.example.com/group/subgroup/repo.git//deploy/base": {
			URL: "https://gitlab.example.com/group/subgroup/repo.git", Path: "deploy/base",
		},
		"https://gitlab.example.com/group/subgroup/repo//deploy/base": {
			URL: "https://gitlab.example.com/group/subgroup/repo", Path: "deploy/base",
		},
		"ssh://git@github.com/kubernetes-sigs/kustomize//examples/multibases/dev/?timeout=120&ref=v3.3.1": {
			URL: "ssh://git@github.com/kubernetes-sigs/kustomize", Path: "examples/multibases/dev/", Ref: "v3.3.1", Timeout: 2 * time.Minute,
		},
		"https://github.com/org/repo?timeout=90s":                  {URL: "https://github.com/org/repo", Timeout: 90 * time.Second},
		"https://github.com/org/repo?timeout=-1s&submodules=maybe": {URL: "https://github.com/org/repo"},
		"https://github.com/org/repo?ref=a%zz":                     {URL: "https://github.com/org/repo"},
		"https://raw.githubusercontent.com/org/repo/main/deploy/all.yaml": {
			URL: "https://raw.githubusercontent.com/org/repo", Path: "main/deploy/all.yaml",
		},
	} {
		if want.Timeout == 0 {
			want.Timeout = DefaultTimeout
		}
		want.Submodules = true
		got, err := Parse(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", text, err, diff)
		}
	}
	if got, err := Parse("https://github.com/org/repo//base?submodules=false"); err != nil || got.Submodules {
		t.Errorf("submodules are fetched although the reference says no: %+v, %v", got, err)
	}
}

func TestWhatIsNoRepository(t *testing.T) {
	for text, want := range map[string]error{
		"/tmp": ErrNone, "../../tmp": ErrNone, "src/github.com/org/repo/path": ErrNone, "iauhsdiuashduas": ErrNone,
		"htxxxtp://github.com/": ErrNone, "ssh://git.example.com": ErrNone, "git::___": ErrNone,
		"https://host?ref=group/version/minor_version":           ErrNone,
		"https://github.com/org/repo.git//path/../../exits/repo": ErrNone,
		"github.com!org/repo.git//path":                          ErrNone,
		"gh:org/repo":                                            ErrNone,
		"https://github.com/thisisa404.yaml":                     ErrNone,
		"git@bitbucket.org/company/project.git//path?ref=branch": ErrNone,
		"git@ssh://github.com/org/repo.git//path":                ErrNone,
		"file:///tmp//path/to/whatever":                          ErrLocal,
		"file://root/repo.git":                                   ErrLocal,
		"":                                                       ErrNone,
		"base":                                                   ErrNone,
	} {
		if got, err := Parse(text); !errors.Is(err, want) {
			t.Errorf("%q: got %+v, %v, want %v", text, got, err, want)
		}
	}
}

func TestWhatMayBeAFile(t *testing.T) {
	for text, want := range map[string]struct{ file, plain bool }{
		"https://example.com/a.yaml":                             {file: true},
		"HTTP://example.com/a":                                   {file: true},
		"https://raw.githubusercontent.com/org/repo/v1/all.yaml": {file: true},
		"https://git.example.com/repo.git/plain/all.yaml":        {file: true},
		"https://github.com/org/repo//base?ref=v1":               {file: true, plain: true},
		"https://github.com/org/repo/base?ref=v1":                {file: true, plain: true},
		"https://dev.azure.com/org/project/_git/repo":            {file: true, plain: true},
		"https://github.com/org/repo/base":                       {file: true},
		"https://raw.githubusercontent.com/org/repo/v1/base":     {file: true},
		"git@github.com:org/repo.git":                            {plain: true},
		"github.com/org/repo":                                    {},
		"https://example.com/a b":                                {file: true}, // replaced below
	} {
		if strings.Contains(text, " ") {
			want.file = false
		}
		if file, plain := IsFile(text), IsPlain(text); file != want.file || plain != want.plain {
			t.Errorf("%s: file %v, plain %v, want %+v", text, file, plain, want)
		}
	}
}

func TestAPasswordIsNotShown(t *testing.T) {
	got, err := Parse("https://user:hunter2@example.com/org/repo//base?ref=v1")
	if err != nil || strings.Contains(got.String(), "hunter2") || !strings.HasSuffix(got.String(), "@v1") {
		t.Errorf("%s, %v", got, err)
	}
}

// Whatever is read is a URL that is spoken, and a path that stays in the repository.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"https://github.com/org/repo//base?ref=v1&timeout=1s&submodules=no", "git@host:org/repo.git/a", "git::github.com:a/b",
		"https://user:pw@host:8/a/_git/b/c?version=x", "ssh://a@b/c//d/../e", "file:///a", "https://h/a.git//../b", "a@b:/c/d//e",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse(text)
		if err != nil {
			return
		}
		scheme, rest := cutScheme(got.URL)
		if scheme == "" || scheme == schemeFile || rest == "" || strings.HasPrefix(rest, "/") {
			t.Errorf("%q became the URL %q", text, got.URL)
		}
		if within := path.Clean("./" + got.Path); within == ".." || strings.HasPrefix(within, "../") || path.IsAbs(got.Path) {
			t.Errorf("%q leads to %q", text, got.Path)
		}
		if got.Timeout <= 0 {
			t.Errorf("%q has the timeout %s", text, got.Timeout)
		}
		if u, err := url.Parse(got.URL); err == nil && u.Fragment == "" && u.Scheme+"://" != scheme {
			t.Errorf("%q became %q", text, got.URL)
		}
		_ = got.String()
	})
}

// A token is often the user of a URL, and no password.
func TestNoCredentialOfAReferenceIsShown(t *testing.T) {
	for ref, want := range map[string]string{
		"https://token@raw.example.com/a.yaml":          "https://xxxxx@raw.example.com/a.yaml",
		"https://user:p%ss@host/x.yaml":                 "https://xxxxx@host/x.yaml",
		"git::https://user:pass@host/org/repo?ref=a@b":  "git::https://xxxxx@host/org/repo?ref=a@b",
		"user:pass@host/org/repo":                       "xxxxx@host/org/repo",
		"https://github.com/org/repo//path?ref=v1@next": "https://github.com/org/repo//path?ref=v1@next",
		"git@github.com:org/repo":                       "git@github.com:org/repo",
		"../base":                                       "../base",
	} {
		if got := Redacted(ref); got != want {
			t.Errorf("%s: got %s, want %s", ref, got, want)
		}
	}
	if got := (Repository{URL: "https://token@github.com/org/repo", Ref: "main"}).String(); got != "https://xxxxx@github.com/org/repo@main" {
		t.Errorf("got %s", got)
	}
}
