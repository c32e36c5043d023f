// SPDX-License-Identifier: Apache-2.0

package writeback_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

const everyState = `current: app:2 # {"$imagepolicy": "apps:app"}
changed: app:1 # {"$imagepolicy": "apps:app"}
undone: held:1 # {"$imagepolicy": "apps:held"}
kept: held:2 # {"$imagepolicy": "apps:held"}
lacks: sha256:1 # {"$imagepolicy": "apps:bare:digest"}
half: "1" # {"$imagepolicy": "apps:bare:tag"}
waits: x:1 # {"$imagepolicy": "apps:waiting"}
out: x:1 # {"$imagepolicy": "apps:out"}
nobody: x:1 # {"$imagepolicy": "apps:nobody"}
other: x:1 # {"$imagepolicy": "others:app"}
miss: x:1 # {'$imagepolicy': 'apps:app'}
`

func everyPolicy() writeback.Policies {
	return writeback.Policies{
		Namespace: "apps",
		Chosen: map[string]edit.Image{
			"app": {Name: "app", Tag: "2"}, "held": {Name: "held", Tag: "2"}, "bare": {Name: "bare", Tag: "2"}},
		Absent: map[string]edit.Reason{"waiting": writeback.NotReady, "out": writeback.NotSelected},
		Held:   map[string]bool{"held": true},
	}
}

func TestPlanAccountsForEveryMarker(t *testing.T) {
	files, err := tree.FromStrings(map[string]string{
		"a.yaml":       everyState,
		"z/large.yaml": marked + strings.Repeat("#", 5<<20), "z/plain.yaml": strings.Repeat("#", 5<<20),
	})
	if err != nil {
		t.Fatal(err)
	}

	planned, err := writeback.Plan(t.Context(), files, "", everyPolicy())

	if err != nil {
		t.Fatal(err)
	}
	line := func(n int, setter, current, wanted string, skip edit.Reason) writeback.Line {
		l := writeback.Line{File: "a.yaml", Line: n, Setter: setter, Current: current, Wanted: wanted, Skip: string(skip)}
		if setter != "" {
			l.Namespace, l.Policy = strings.Split(setter, ":")[0], strings.Split(setter, ":")[1]
		}
		return l
	}
	want := []writeback.Line{
		line(1, "apps:app", "app:2", "app:2", ""),
		line(2, "apps:app", "app:1", "app:2", ""),
		line(3, "apps:held", "held:1", "held:2", writeback.Reverted),
		line(4, "apps:held", "held:2", "held:2", ""),
		line(5, "apps:bare:digest", "sha256:1", "", edit.MissingPart),
		line(6, "apps:bare:tag", "1", "2", writeback.Incomplete),
		line(7, "apps:waiting", "x:1", "", writeback.NotReady),
		line(8, "apps:out", "x:1", "", writeback.NotSelected),
		line(9, "apps:nobody", "x:1", "", edit.UnknownPolicy),
		line(10, "others:app", "x:1", "", edit.OtherNamespace),
		{File: "a.yaml", Line: 11, Current: "x:1", Skip: string(edit.SingleQuotes), Text: "# {'$imagepolicy': 'apps:app'}"},
		{File: "z/large.yaml", Line: 1, Skip: string(edit.TooLarge)},
	}
	if diff := cmp.Diff(want, planned.Report.Lines()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if planned.Held == nil || !strings.Contains(planned.Held.Error(), "a.yaml:5: apps:bare:digest; for a digest, set") {
		t.Errorf("held: %v", planned.Held)
	}
	wantFile := strings.Replace(everyState, "changed: app:1", "changed: app:2", 1)
	if diff := cmp.Diff(map[string][]byte{"a.yaml": []byte(wantFile)}, planned.Contents); diff != "" {
		t.Errorf("contents (-want +got):\n%s", diff)
	}
	counts := planned.Report.Counts()
	if counts.Total != 12 || counts.Current != 2 || counts.Outdated != 1 || counts.Held != 3 || len(counts.Skipped) != 6 {
		t.Errorf("counts %+v", counts)
	}
	states := map[writeback.MarkerState]int{}
	for _, l := range planned.Report.Lines() {
		states[l.State()]++
	}
	wantStates := map[writeback.MarkerState]int{writeback.Current: 2, writeback.Outdated: 1, writeback.Held: counts.Held, writeback.Skipped: 6}
	if diff := cmp.Diff(wantStates, states); diff != "" {
		t.Errorf("the states of lines are not what is counted (-want +got):\n%s", diff)
	}
	for _, s := range counts.Skipped {
		if s.Reason == writeback.NotReady && (s.Count != 1 || s.Example != "a.yaml:7") {
			t.Errorf("counts of the policy that is not ready: %+v", s)
		}
	}
}

func TestPlanOnALocalDirectory(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"fleet/apps/a.yaml": marked, "fleet/apps/b.txt": marked, "fleet/.git/c.yaml": marked, "outside.yaml": marked,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		"fleet/link.yaml": "../outside.yaml", "fleet/inside.yaml": "apps/a.yaml", "fleet/folder": "apps", "fleet/loop": ".",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	files, err := writeback.OpenDirectory(filepath.Join(dir, "fleet"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = files.Close() }()
	policies := writeback.Policies{Namespace: "apps", Chosen: map[string]edit.Image{"app": {Name: "app", Tag: "2"}}}

	tests := map[string]struct {
		root    string
		want    []string
		wantErr bool
	}{
		"everything, symlinks not followed": {root: ".", want: []string{"apps/a.yaml"}},
		"a directory":                       {root: "apps", want: []string{"apps/a.yaml"}},
		"a file":                            {root: "./apps/a.yaml", want: []string{"apps/a.yaml"}},
		"a symlink":                         {root: "link.yaml", wantErr: true},
		"through a symlink":                 {root: "folder/a.yaml", wantErr: true},
		"out of the directory":              {root: "../outside.yaml", wantErr: true},
		"nothing":                           {root: "none", wantErr: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			planned, err := writeback.Plan(t.Context(), files, tc.root, policies)
			if (err != nil) != tc.wantErr {
				t.Fatalf("error %v, want one: %v", err, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, planned.Changed.Files()); diff != "" {
				t.Errorf("changed (-want +got):\n%s", diff)
			}
			for name, content := range planned.Contents {
				if string(content) != strings.Replace(marked, "app:1", "app:2", 1) {
					t.Errorf("%s becomes %s", name, content)
				}
			}
		})
	}
	if err := files.WriteFile("apps/a.yaml", []byte("new\n")); err != nil {
		t.Fatal(err)
	}
	if err := files.WriteFile("link.yaml", []byte("new\n")); err == nil {
		t.Error("wrote through a symlink")
	}
	for name, want := range map[string]string{"fleet/apps/a.yaml": "new\n", "outside.yaml": marked} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, error %v", name, got, err)
		}
	}
}

// TestPlanOnAMaliciousTree has what no honest repository has.
func TestPlanOnAMaliciousTree(t *testing.T) {
	deep := strings.Repeat("d/", 200)
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'z'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+",", 9) + "]\n"
	}
	files, err := tree.FromStrings(map[string]string{
		"bomb.yaml": bomb + marked, "nested.yaml": strings.Repeat("[", 100_000) + "\n" + marked,
		"x/.GIT/hooks.yaml": marked, "back\\slash.yaml": marked, deep + "f.yaml": marked, "good.yaml": marked,
		"binary.yaml": "\x00\xff\xfe" + marked,
	})
	if err != nil {
		t.Fatal(err)
	}
	planned, err := writeback.Plan(t.Context(), files, "", writeback.Policies{
		Namespace: "apps", Chosen: map[string]edit.Image{"app": {Name: "app", Tag: "2"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := planned.Contents["good.yaml"]; !ok {
		t.Errorf("the good file was not written; changed %v", planned.Changed.Files())
	}
	reasons := map[string]string{}
	for _, line := range planned.Report.Lines() {
		reasons[line.File] = line.Skip
	}
	for file, why := range map[string]edit.Reason{"x/.GIT": writeback.UnsafePath, "back\\slash.yaml": writeback.UnsafePath} {
		if reasons[file] != string(why) {
			t.Errorf("%s: %q, want %q", file, reasons[file], why)
		}
	}
	if skip := reasons[strings.Repeat("d/", 128)+"d"]; skip != string(writeback.TooDeep) {
		t.Errorf("deep: %q in %v", skip, len(reasons))
	}
}
