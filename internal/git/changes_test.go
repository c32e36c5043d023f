// SPDX-License-Identifier: Apache-2.0

package git_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

// TestWhatACommitChanged reads commits of one mirror, which has them since it fetched each.
func TestWhatACommitChanged(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	mirrors := git.NewMirrors(t.TempDir(), clock.RealClock{})
	m, err := mirrors.Get(t.Context(), git.Remote{URL: repo.URL, Owner: "apps/fleet", Namespace: "apps"})
	if err != nil {
		t.Fatal(err)
	}
	limits := git.ChangeLimits{Paths: 5, Files: 3, File: 100, Total: 150}
	for _, step := range []struct {
		name  string
		files files
		want  string
	}{
		{"everything of the first one", files{"a.yaml": "a: 1\n", "d/b.yaml": "b: 1\n"}, `+a.yaml ""->"a: 1\n" +d/b.yaml ""->"b: 1\n"`},
		{"a change", files{"d/b.yaml": "b: 2\n"}, `d/b.yaml "b: 1\n"->"b: 2\n"`},
		{"a file that went and one that came", files{"a.yaml": gitserver.Delete, "c": ""}, `-a.yaml "a: 1\n"->"" +c ""->""`},
		{"a directory that came", files{"e/f/g": "g", "e/h": "h"}, `+e/f/g ""->"g" +e/h ""->"h"`},
		{"a file that became a directory", files{"c": gitserver.Delete, "c/x": "x"}, `+c/x ""->"x" -c ""->""`},
		{"a directory that became a file", files{"c/x": gitserver.Delete, "c": "c"}, `-c/x "x"->"" +c ""->"c"`},
		{"a mode", files{"100755 c": "c"}, "c (its mode alone changed)"},
		{"a link, as where it leads", files{"120000 l": "c"}, `+l ""->"c"`},
		{"what is no text", files{"c": "\x00", "e/h": "\xff"}, "c (it is no text in UTF-8) e/h (it is no text in UTF-8)"},
		{"what is too large", files{"c": strings.Repeat("c", 101)}, "c (it is too large)"},
		{"what is too large together", files{"m": strings.Repeat("m", 80), "n": strings.Repeat("n", 80), "o": "o"},
			`+m ""->"` + strings.Repeat("m", 80) + `" +n (too much else changed) +o ""->"o"`},
		{"so many texts", files{"1": "1", "2": "2", "3": "3", "4": "4"}, `+1 ""->"1" +2 ""->"2" +3 ""->"3" +4 (too much else changed)`},
		{"so many paths", files{"e/f/g": gitserver.Delete, "z/1": "1", "z/2": "2", "z/3": "3", "z/4": "4", "z/5": "5"},
			`-e/f/g "g"->"" +z/1 ""->"1" +z/2 ""->"2" +z/3 (too much else changed) +z/4 (too much else changed) and more`},
	} {
		head := plumbing.NewHash(repo.Commit("main", step.files))
		pull(t, m, "main")
		of, ok := mirrors.OwnedBy("apps/fleet")
		if !ok {
			t.Fatal("the mirror of its owner is not known")
		}
		got, err := of.Changes(head, limits)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if diff := cmp.Diff(step.want, told(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
		if got.Commit != head || !strings.HasPrefix(got.Info.Message, "commit ") {
			t.Errorf("%s: it is %s, %q", step.name, got.Commit, got.Info.Message)
		}
	}
	commit := plumbing.NewHash(repo.Commit("main", files{"a": "a"}))
	head := plumbing.NewHash(repo.Commit("main", files{"a": "b"}))
	if _, err := m.Changes(commit, limits); !errors.Is(err, git.ErrMissing) {
		t.Errorf("of a commit that was not fetched: %v", err)
	}
	pull(t, m, "main")
	if _, err := m.Changes(head, limits); !errors.Is(err, git.ErrMissing) {
		t.Errorf("of a commit whose parent was not fetched: %v", err)
	}
	mirrors.Forget("apps/fleet")
	for _, owner := range []string{"apps/fleet", "apps/other", ""} {
		if _, ok := mirrors.OwnedBy(owner); ok {
			t.Errorf("%q has a mirror", owner)
		}
	}
}

// told is what became of each path.
func told(changes *git.Changes) string {
	var lines []string
	for _, c := range changes.Files {
		line := c.Path
		switch {
		case !c.Existed:
			line = "+" + line
		case !c.Exists:
			line = "-" + line
		}
		if c.Omitted != "" {
			line += " (" + c.Omitted + ")"
		} else {
			line += fmt.Sprintf(" %q->%q", c.Old, c.New)
		}
		lines = append(lines, line)
	}
	if changes.More {
		lines = append(lines, "and more")
	}
	return strings.Join(lines, " ")
}
