// SPDX-License-Identifier: Apache-2.0

package writeback_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// setters compiles those of a stage.
func setters(t *testing.T, specs ...v1alpha1.Setter) []writeback.FieldSetter {
	t.Helper()
	compiled, err := writeback.NewSetters(specs)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func TestMarkersAndSettersAreOneCommit(t *testing.T) {
	repo := gitserver.New(t).Repo("fleet")
	values := "image:\n  repository: host/web # web\n  tag: '1'\n"
	repo.Commit("main", gitserver.Files{
		"production/eu/a.yaml": marked + "web: host/web:1 # web\n", "production/us/a.yaml": marked + "web: host/web:1\n",
		"production/eu/values.yaml": values, "production/us/values.yaml": values,
		"production/versions.env": "APP=1\nWEB=1\n", "other.yaml": marked,
	})
	w := newWriter(t)
	req := request(repo, "")
	req.Edits = writeback.BundleEdits{
		Paths: []string{"production/eu", "production/us"},
		Fields: writeback.ArtifactFields{Namespace: "apps", Policies: map[string]string{"app": "app"}, Setters: setters(t,
			v1alpha1.Setter{Artifact: "web", File: "a.yaml", YAML: "web", Part: "reference"},
			v1alpha1.Setter{
				Artifact: "web", File: "values.yaml",
				HelmValues: &v1alpha1.HelmValues{Repository: "image.repository", Tag: "image.tag"},
			},
			v1alpha1.Setter{Artifact: "app", File: "../versions.env", Regex: "(?m)^APP=(?P<version>.*)$"},
			v1alpha1.Setter{Artifact: "web", File: "../versions.env", Regex: "(?m)^WEB=(?P<version>.*)$"},
		)},
		Images: map[string]edit.Image{"app": {Name: "app", Tag: "2"}, "web": {Name: "host/web", Tag: "3"}},
	}
	result, err := w.Run(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"production/eu/a.yaml":      strings.Replace(marked, "app:1", "app:2", 1) + "web: host/web:3 # web\n",
		"production/us/values.yaml": strings.Replace(values, "'1'", "'3'", 1),
		"production/versions.env":   "APP=2\nWEB=3\n",
		"other.yaml":                marked,
	}
	for name, text := range want {
		if got := repo.Git("show", "main:"+name) + "\n"; got != text {
			t.Errorf("%s is\n%s", name, cmp.Diff(text, got))
		}
	}
	if len(result.Commits) != 1 || len(result.Changed.Files()) != 5 {
		t.Errorf("%d commits change %v", len(result.Commits), result.Changed.Files())
	}
	again, err := w.Run(t.Context(), req)
	if err != nil || !again.Commit.IsZero() {
		t.Errorf("written again: %v, %v", again.Commit, err)
	}
	lines := again.Report.Lines()
	if want := 10; len(lines) != want { // 2 markers, 6 fields of files in each path, 2 in the file of both
		t.Errorf("the report has %d lines, want %d", len(lines), want)
	}
	for _, line := range lines {
		if line.State() != writeback.Current || line.Field != "" && !strings.HasPrefix(line.Subject(), "setter \"") {
			t.Errorf("%+v: %s", line, line.Subject())
		}
	}
}

func TestABundleWhoseSetterDoesNotFitIsNotWrittenInPart(t *testing.T) {
	tests := map[string]struct {
		setter v1alpha1.Setter
		want   string
		cause  error
	}{
		"no file":                     {v1alpha1.Setter{File: "b.yaml", YAML: "tag"}, "in app/b.yaml", fs.ErrNotExist},
		"a directory":                 {v1alpha1.Setter{File: ".", YAML: "tag"}, "not a file", nil},
		"a way out of the repository": {v1alpha1.Setter{File: "../../x.yaml", YAML: "tag"}, "outside of the repository", nil},
		"a folder of Git":             {v1alpha1.Setter{File: "../.git/config", Regex: "(?P<version>.)"}, "does not check out", nil},
		"a link": {
			v1alpha1.Setter{File: "link.yaml", YAML: "tag"}, `name what it points to, "app/values.yaml"`, writeback.ErrLink,
		},
		"a way through a link": {
			v1alpha1.Setter{File: "folder/values.yaml", YAML: "tag"}, `"app/folder" leads there: it is a symlink`, writeback.ErrLink,
		},
		"a field that there is not": {
			v1alpha1.Setter{File: "values.yaml", YAML: "image.tag"}, "yaml image.tag: the file has no such field", nil,
		},
		"a digest that there is not": {v1alpha1.Setter{File: "values.yaml", YAML: "digest", Part: "digest"}, "line 2", edit.ErrMissingPart},
	}
	repo := gitserver.New(t).Repo("fleet")
	head := repo.Commit("main", gitserver.Files{
		"app/a.yaml": marked, "app/values.yaml": "tag: '1'\ndigest: ''\n", "real/values.yaml": "tag: '1'\n",
		"120000 app/link.yaml": "values.yaml", "120000 app/folder": "../real",
	})
	w := newWriter(t)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.setter.Artifact = "app"
			req := request(repo, "")
			req.Edits = writeback.BundleEdits{
				Paths:  []string{"app"},
				Fields: writeback.ArtifactFields{Namespace: "apps", Policies: map[string]string{"app": "app"}, Setters: setters(t, tc.setter)},
				Images: map[string]edit.Image{"app": {Name: "app", Tag: "2"}},
			}
			_, err := w.Run(t.Context(), req)
			var setter *writeback.SetterError
			if !errors.Is(err, writeback.ErrSetter) || !errors.As(err, &setter) || setter.Artifact != "app" ||
				!strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
			if tc.cause != nil && !errors.Is(err, tc.cause) && !strings.Contains(err.Error(), "not a directory") {
				t.Errorf("got %v, want %v", err, tc.cause)
			}
			if repo.Head("main") != head {
				t.Error("something was written")
			}
		})
	}
}

func TestTheVersionsOfMarkersAndSetters(t *testing.T) {
	tests := map[string]struct {
		files    gitserver.Files
		policies map[string]string
		setters  []v1alpha1.Setter
		want     map[string]edit.Image
		err      error
	}{
		"both, by artifact": {
			files:    gitserver.Files{"a.yaml": marked, "values.yaml": "web: {repository: host/web, tag: '3'}\n"},
			policies: map[string]string{"shop": "app"},
			setters: []v1alpha1.Setter{
				{Artifact: "web", File: "values.yaml", HelmValues: &v1alpha1.HelmValues{Repository: "web.repository", Tag: "web.tag"}},
			},
			want: map[string]edit.Image{"shop": {Name: "app", Tag: "1"}, "web": {Name: "host/web", Tag: "3"}},
		},
		"a marker and setters that hold parts of one artifact": {
			files:    gitserver.Files{"a.yaml": marked, "k/kustomization.yaml": "images: [{name: x, digest: sha256:ab}]\n", "v.json": `{"v": "1"}`},
			policies: map[string]string{"shop": "app"},
			setters: []v1alpha1.Setter{
				{Artifact: "shop", File: "k/kustomization.yaml", KustomizeImage: "x"},
				{Artifact: "shop", File: "v.json", JSON: "v"},
			},
			want: map[string]edit.Image{"shop": {Name: "app", Tag: "1", Digest: "sha256:ab"}},
		},
		"two artifacts of one policy": {
			files: gitserver.Files{"a.yaml": marked}, policies: map[string]string{"shop": "app", "twin": "app"},
			want: map[string]edit.Image{"shop": {Name: "app", Tag: "1"}, "twin": {Name: "app", Tag: "1"}},
		},
		"setters alone": {
			files:   gitserver.Files{".env": "APP=1\n"},
			setters: []v1alpha1.Setter{{Artifact: "shop", File: ".env", Regex: "APP=(?P<version>.*)"}},
			want:    map[string]edit.Image{"shop": {Tag: "1"}},
		},
		"a field that is still empty": {
			files:   gitserver.Files{"v.yaml": "tag: ''\n"},
			setters: []v1alpha1.Setter{{Artifact: "shop", File: "v.yaml", YAML: "tag"}},
			want:    map[string]edit.Image{"shop": {}},
		},
		"a marker and a setter of different versions": {
			files: gitserver.Files{"a.yaml": marked + "tag: '2'\n"}, policies: map[string]string{"shop": "app"},
			setters: []v1alpha1.Setter{{Artifact: "shop", File: "a.yaml", YAML: "tag"}},
			err:     writeback.ErrDisagree,
		},
		"a setter whose file is gone": {
			files: gitserver.Files{"a.yaml": marked}, policies: map[string]string{"shop": "app"},
			setters: []v1alpha1.Setter{{Artifact: "shop", File: "b.yaml", YAML: "tag"}},
			err:     writeback.ErrSetter,
		},
		"neither": {files: gitserver.Files{"a.yaml": marked}, err: writeback.ErrNoFields},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			repo := gitserver.New(t).Repo("fleet")
			repo.Commit("main", tc.files)
			fields := writeback.ArtifactFields{Namespace: "apps", Policies: tc.policies, Setters: setters(t, tc.setters...)}
			got, err := writeback.NewIndex(nil).Versions(t.Context(), filesOf(t, repo), "", fields)
			if !errors.Is(err, tc.err) {
				t.Fatalf("got %v, want %v", err, tc.err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSettersThatNameNoField(t *testing.T) {
	tests := map[string]struct {
		setter v1alpha1.Setter
		want   string
	}{
		"none":                   {v1alpha1.Setter{File: "a"}, "one of yaml, json, kustomizeImage, helmValues and regex is required"},
		"an unknown part":        {v1alpha1.Setter{File: "a", YAML: "b", Part: "all"}, `part "all" is none of`},
		"a part of a whole":      {v1alpha1.Setter{File: "a", KustomizeImage: "b", Part: "tag"}, "part is for yaml, json and regex"},
		"a path from the root":   {v1alpha1.Setter{File: "/a", YAML: "b"}, `file "/a" is not a path from that of the stage`},
		"a path that is no path": {v1alpha1.Setter{File: "a", YAML: "b..c"}, `setters[0]: setter of artifact shop in a: yaml: path "b..c"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.setter.Artifact = "shop"
			if _, err := writeback.NewSetters([]v1alpha1.Setter{tc.setter}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
