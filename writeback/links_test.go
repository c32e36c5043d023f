// SPDX-License-Identifier: Apache-2.0

package writeback_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// linked are files and symlinks.
var linked = map[string]string{
	"base/app.yaml": marked, "base/plain.yaml": "a: b\n", "base/deep/x.yml": marked, "README.md": marked,
	"prod/app.yaml": "-> ../base/app.yaml", "prod/plain.yaml": "-> ../base/plain.yaml", "prod/folder": "-> ../base/deep",
	"prod/readme": "-> ../README.md", "prod/gone.yaml": "-> ../none.yaml", "prod/out.yaml": "-> ../../out.yaml",
	"prod/abs.yaml": "-> /etc/passwd", "prod/self": "-> .", "prod/second.yaml": "-> app.yaml", "dirlink": "-> base",
	"test/app.yaml": marked, "test/again.yaml": "-> app.yaml",
}

func TestWhatIsBehindASymlinkIsSaid(t *testing.T) {
	local, err := writeback.OpenDirectory(directoryOf(t, linked))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = local.Close() }()
	policies := writeback.Policies{Namespace: "apps", Chosen: map[string]edit.Image{"app": {Name: "app", Tag: "2"}}}
	tests := map[string]struct {
		root    string
		changed []string
		linked  []string
		err     error
	}{
		"a folder of links":                {root: "prod", linked: []string{"prod/app.yaml", "prod/folder", "prod/second.yaml"}},
		"all, where each is looked at":     {root: "", changed: []string{"base/app.yaml", "base/deep/x.yml", "test/app.yaml"}},
		"a folder with both":               {root: "test", changed: []string{"test/app.yaml"}},
		"a link as the path":               {root: "dirlink", err: writeback.ErrLink},
		"a link to a file as the path":     {root: "prod/app.yaml", err: writeback.ErrLink},
		"a link to nothing as the path":    {root: "prod/gone.yaml", err: writeback.ErrLink},
		"a path through a link":            {root: "dirlink/app.yaml", err: writeback.ErrLink},
		"a path through two links":         {root: "prod/self/folder/x.yml", err: writeback.ErrLink},
		"a path through a link to nothing": {root: "dirlink/none.yaml", err: writeback.ErrLink},
		"a path through a file":            {root: "base/app.yaml/x", err: tree.ErrNotDir},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			planned, err := writeback.Plan(t.Context(), local, tc.root, policies)
			if !errors.Is(err, tc.err) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			var skipped []string
			for _, line := range planned.Report.Withheld() {
				if line.Skip != string(writeback.Linked) || line.Line != 0 {
					t.Errorf("%+v", line)
				}
				skipped = append(skipped, line.File)
			}
			if diff := cmp.Diff(tc.linked, skipped); diff != "" {
				t.Errorf("links (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.changed, planned.Changed.Files()); diff != "" {
				t.Errorf("changed (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMarkersBehindLinksBehindLinksAreSaid has links whose target is a link, leads
// through one, or is a folder that has one.
func TestMarkersBehindLinksBehindLinksAreSaid(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		want  map[string]edit.Reason
	}{
		"a link to a link": {
			map[string]string{"base/app.yaml": marked, "shared/app.yaml": "-> ../base/app.yaml", "prod/app.yaml": "-> ../shared/app.yaml"},
			map[string]edit.Reason{"prod/app.yaml": writeback.Linked}},
		"through a folder that is a link": {
			map[string]string{"v2/app.yaml": marked, "current": "-> v2", "prod/app.yaml": "-> ../current/app.yaml"},
			map[string]edit.Reason{"prod/app.yaml": writeback.Linked}},
		"back from a folder that is a link": {
			map[string]string{
				"deep/down/x.yaml": "a: b\n", "deep/app.yaml": marked, "current": "-> deep/down",
				"prod/app.yaml": "-> ../current/../app.yaml",
			},
			map[string]edit.Reason{"prod/app.yaml": writeback.Linked}},
		"a folder that has a link": {
			map[string]string{"base/app.yaml": marked, "shared/app.yaml": "-> ../base/app.yaml", "prod/all": "-> ../shared"},
			map[string]edit.Reason{"prod/all": writeback.Linked}},
		"a file of another name beside it": {
			map[string]string{"prod/app.txt": marked, "prod/app.yaml": "-> app.txt"},
			map[string]edit.Reason{"prod/app.yaml": writeback.LinkedName}},
		"a loop": {
			map[string]string{"prod/a.yaml": "-> b.yaml", "prod/b.yaml": "-> a.yaml", "prod/all": "-> ../other", "other/all": "-> ../other"},
			nil,
		},
		"out of the repository": {map[string]string{"up": "-> ..", "prod/app.yaml": "-> ../up/app.yaml"}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			planned := planOf(t, tc.files, "prod")
			var got map[string]edit.Reason
			for _, line := range planned.Report.Withheld() {
				if got == nil {
					got = map[string]edit.Reason{}
				}
				got[line.File] = edit.Reason(line.Skip)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("links (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLinksThatLeadByManyNamesCostLittle has links each of whose names is a link again.
func TestLinksThatLeadByManyNamesCostLittle(t *testing.T) {
	files := map[string]string{"d/x.yaml": marked, "d/0": "-> ."}
	for i := range 39 {
		files["d/"+strconv.Itoa(i+1)] = "-> " + strings.Repeat(strconv.Itoa(i)+"/", 1000) + "."
	}
	for i := range 10 {
		files[fmt.Sprintf("prod/%d.yaml", i)] = "-> ../d/39/" + strings.Repeat("./", 1000) + "x.yaml"
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		planOf(t, files, "prod")
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Minute):
		t.Fatal("it goes on looking")
	}
}

// TestMarkersInFilesOfOtherSpellingsAreSaid has files that Flux passes over.
func TestMarkersInFilesOfOtherSpellingsAreSaid(t *testing.T) {
	planned := planOf(t, map[string]string{
		"prod/a.YAML": marked, "prod/b.Yml": marked, "prod/c.YML": "a: b\n", "prod/d.yaml": marked, "prod/notes.md": marked,
	}, "prod")
	got := map[string]edit.Reason{}
	for _, file := range planned.Report {
		got[file.Path] = file.Skip
	}
	want := map[string]edit.Reason{"prod/a.YAML": writeback.OtherName, "prod/b.Yml": writeback.OtherName, "prod/d.yaml": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"prod/d.yaml"}, planned.Changed.Files()); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
}

// planOf plans on a directory of files and symlinks.
func planOf(t *testing.T, files map[string]string, root string) writeback.Planned {
	t.Helper()
	local, err := writeback.OpenDirectory(directoryOf(t, files))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = local.Close() }()
	policies := writeback.Policies{Namespace: "apps", Chosen: map[string]edit.Image{"app": {Name: "app", Tag: "2"}}}
	planned, err := writeback.Plan(t.Context(), local, root, policies)
	if err != nil {
		t.Fatal(err)
	}
	return planned
}

// directoryOf writes files, and symlinks to what stands behind an arrow.
func directoryOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		target, isLink := strings.CutPrefix(content, "-> ")
		if isLink {
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestALinkIsLookedBehindEachTime changes what a link points to, and not the folder
// of the link, which the index knows already.
func TestALinkIsLookedBehindEachTime(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	repo.Commit("main", gitserver.Files{"base/app.yaml": "a: b\n"})
	clone := t.TempDir()
	repo.Git("worktree", "add", "-q", clone, "main")
	if err := os.MkdirAll(filepath.Join(clone, "prod"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../base/app.yaml", filepath.Join(clone, "prod/app.yaml")); err != nil {
		t.Fatal(err)
	}
	repo.Git("-C", clone, "add", "-A")
	repo.Git("-C", clone, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "link")
	repo.Git("worktree", "remove", clone)
	w, req := newWriter(t), request(repo, "2")
	imagesOf(&req).Path = "prod"
	for _, tc := range []struct {
		content string
		want    int
	}{{"a: b\n", 0}, {marked, 1}, {"a: c\n", 0}} {
		repo.Commit("main", gitserver.Files{"base/app.yaml": tc.content})
		result, err := w.Run(t.Context(), req)
		if err != nil || len(result.Report.Withheld()) != tc.want {
			t.Errorf("%q behind the link: %+v, error %v; want %d", tc.content, result.Report.Withheld(), err, tc.want)
		}
	}
}
