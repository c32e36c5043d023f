// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/writeback/edit"
)

// app is a marked field with a tag of the image app.
func app(tag string) string { return "image: app:" + tag + " # {\"$imagepolicy\": \"apps:app\"}\n" }

func deployment(name, field string) string {
	return "---\nkind: Deployment\nmetadata: {name: " + name + "}\n" + field
}

// TestWhichUpdatesWereReverted compares files as the last run left them with those of
// now, while the policy app still chooses app:2.
func TestWhichUpdatesWereReverted(t *testing.T) {
	tests := map[string]struct {
		before, now map[string]string
		last        string // the tag that the last run wrote, 2 unless set
		want        bool
	}{
		"an update that is gone": {
			before: map[string]string{"a.yaml": app("2")}, now: map[string]string{"a.yaml": app("1")}, want: true},
		"a value of another writer": {
			before: map[string]string{"a.yaml": app("2")}, now: map[string]string{"a.yaml": app("9")}, want: true},
		"a field that moved within its file": {
			before: map[string]string{"a.yaml": app("2")}, now: map[string]string{"a.yaml": "# note\n" + app("1")}, want: true},
		"one of two fields of an object": {
			before: map[string]string{"a.yaml": app("2") + app("2")}, now: map[string]string{"a.yaml": app("1") + app("2")}, want: true},
		"a field that is still current": {
			before: map[string]string{"a.yaml": app("2")}, now: map[string]string{"a.yaml": app("2"), "b.yaml": app("1")}},
		"a field that was outdated before": {
			before: map[string]string{"a.yaml": app("1")}, now: map[string]string{"a.yaml": app("1")}},
		"a field that was removed": {
			before: map[string]string{"a.yaml": app("2") + app("2"), "b.yaml": app("1")},
			now:    map[string]string{"a.yaml": app("2"), "b.yaml": app("1")}},
		"a file that was removed": {
			before: map[string]string{"a.yaml": app("2"), "b.yaml": app("1")}, now: map[string]string{"b.yaml": app("1")}},
		"a field that was added before another": {
			before: map[string]string{"a.yaml": app("2")}, now: map[string]string{"a.yaml": app("1") + app("2")}},
		"an object that was added to the file": {
			before: map[string]string{"a.yaml": deployment("old", app("2"))},
			now:    map[string]string{"a.yaml": deployment("new", app("1")) + deployment("old", app("2"))}},
		"an image that the last run did not write": {
			before: map[string]string{"a.yaml": app("2")}, now: map[string]string{"a.yaml": app("1")}, last: "3"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			last := tc.last
			if last == "" {
				last = "2"
			}
			edits := ImageEdits{
				Policies:   Policies{Namespace: "apps", Chosen: map[string]edit.Image{"app": {Name: "app", Tag: "2"}}},
				LastChosen: map[string]edit.Image{"app": {Name: "app", Tag: last}},
			}
			before, now := filesOf(t, tc.before), filesOf(t, tc.now)
			index := NewIndex(nil)
			planned, err := edits.Plan(t.Context(), index, now)
			if err != nil {
				t.Fatal(err)
			}
			reverted, others := edits.WithoutReverted(t.Context(), index, planned, History{
				Files: now, Head: hashOf(2), LastPush: hashOf(1),
				Before: func(context.Context) (Files, bool) { return before, true },
				Pushed: func() (Files, bool) { return before, true },
			})
			var want []RevertedUpdate
			if tc.want {
				want = []RevertedUpdate{{Policy: "app", Image: edit.Image{Name: "app", Tag: "2"}, Reverted: hashOf(1), By: hashOf(2)}}
			}
			if diff := cmp.Diff(want, reverted); diff != "" {
				t.Errorf("reverted (-want +got):\n%s", diff)
			}
			if held := others.(ImageEdits).Policies.Held["app"]; held != tc.want || edits.Policies.Held != nil {
				t.Errorf("the others hold it: %v, the edits themselves %v", held, edits.Policies.Held)
			}
		})
	}
}

func TestWhatTellsOfNoRevert(t *testing.T) {
	now := map[string]string{"a.yaml": app("1")}
	files := func(content map[string]string) func() (Files, bool) {
		return func() (Files, bool) { return filesOf(t, content), true }
	}
	unknown := func() (Files, bool) { return nil, false }
	tests := map[string]struct {
		path         string
		before       func() (Files, bool)
		pushed       func() (Files, bool)
		wantReverted bool
		wantPushed   bool // the reverted commit is named
	}{
		"the commit before is not known": {before: unknown, pushed: unknown},
		"the path was not there":         {path: "a.yaml", before: files(map[string]string{"b.yaml": app("2")}), pushed: unknown},
		"the last push is not known":     {before: files(map[string]string{"a.yaml": app("2")}), pushed: unknown, wantReverted: true},
		"the last push had another choice": {
			before:       files(map[string]string{"a.yaml": app("2")}),
			pushed:       files(map[string]string{"a.yaml": app("3")}),
			wantReverted: true,
		},
		"the last push does not have the path": {
			path:         "a.yaml",
			before:       files(map[string]string{"a.yaml": app("2")}),
			pushed:       files(map[string]string{"b.yaml": app("2")}),
			wantReverted: true,
		},
		"the last push had it, so that it is named": {
			before:       files(map[string]string{"a.yaml": app("2")}),
			pushed:       files(map[string]string{"a.yaml": app("2")}),
			wantReverted: true,
			wantPushed:   true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			image := map[string]edit.Image{"app": {Name: "app", Tag: "2"}}
			edits := ImageEdits{Path: tc.path, Policies: Policies{Namespace: "apps", Chosen: image}, LastChosen: image}
			index, head := NewIndex(nil), filesOf(t, now)
			planned, err := edits.Plan(t.Context(), index, head)
			if err != nil {
				t.Fatal(err)
			}
			reverted, _ := edits.WithoutReverted(t.Context(), index, planned, History{
				Files: head, Head: hashOf(2), LastPush: hashOf(1), Pushed: tc.pushed,
				Before: func(context.Context) (Files, bool) { return tc.before() },
			})
			if (len(reverted) == 1) != tc.wantReverted {
				t.Fatalf("reverted %+v", reverted)
			}
			if tc.wantReverted && (reverted[0].Reverted == hashOf(1)) != tc.wantPushed {
				t.Errorf("it names %s", reverted[0].Reverted)
			}
		})
	}
}

func TestNothingIsLookedUpUnlessAnUpdateWouldBeWrittenAgain(t *testing.T) {
	edits := ImageEdits{Policies: Policies{Namespace: "apps", Chosen: map[string]edit.Image{"app": {Name: "app", Tag: "2"}}}}
	files := filesOf(t, map[string]string{"a.yaml": app("1")})
	planned, err := edits.Plan(t.Context(), NewIndex(nil), files)
	if err != nil {
		t.Fatal(err)
	}
	reverted, others := edits.WithoutReverted(t.Context(), NewIndex(nil),
		planned, History{Files: files, Before: func(context.Context) (Files, bool) {
			t.Error("it looked for the commit before")
			return nil, false
		}})
	if len(reverted) > 0 || cmp.Diff(edits, others) != "" {
		t.Errorf("reverted %v, others %v", reverted, others)
	}
}

func TestSplitMakesOneCommitOfEachPolicyIfAsked(t *testing.T) {
	edits := ImageEdits{Policies: Policies{Namespace: "apps", Chosen: map[string]edit.Image{
		"b": {Name: "b", Tag: "2"}, "a": {Name: "a", Tag: "2"}, "current": {Name: "current", Tag: "1"}}}}
	content := ""
	for _, name := range []string{"b", "a", "current"} {
		content += strings.ReplaceAll("x: NAME:1 # {\"$imagepolicy\": \"apps:NAME\"}\n", "NAME", name)
	}
	planned, err := edits.Plan(t.Context(), NewIndex(nil), filesOf(t, map[string]string{"a.yaml": content}))
	if err != nil {
		t.Fatal(err)
	}
	if parts := edits.Split(planned); len(parts) > 0 {
		t.Errorf("one commit of all became %d", len(parts))
	}
	edits.CommitPerPolicy = true
	var got []map[string]edit.Image
	for _, part := range edits.Split(planned) {
		got = append(got, part.(ImageEdits).Policies.Chosen)
	}
	want := []map[string]edit.Image{{"a": {Name: "a", Tag: "2"}}, {"b": {Name: "b", Tag: "2"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
}

// Two policies have updates that are gone; the last run wrote only one of them, and the
// other was written by somebody else.
func TestAnUpdateThatTheLastRunDidNotWriteIsNotHeldWithOneThatItWrote(t *testing.T) {
	const other = "image: db:%s # {\"$imagepolicy\": \"apps:db\"}\n"
	at := func(tag string) map[string]string {
		return map[string]string{"a.yaml": app(tag), "b.yaml": strings.ReplaceAll(other, "%s", tag)}
	}
	edits := ImageEdits{
		Policies:   Policies{Namespace: "apps", Chosen: map[string]edit.Image{"app": {Name: "app", Tag: "2"}, "db": {Name: "db", Tag: "2"}}},
		LastChosen: map[string]edit.Image{"app": {Name: "app", Tag: "2"}, "db": {Name: "db", Tag: "1"}},
	}
	before, now := filesOf(t, at("2")), filesOf(t, at("1"))
	index := NewIndex(nil)
	planned, err := edits.Plan(t.Context(), index, now)
	if err != nil {
		t.Fatal(err)
	}
	reverted, _ := edits.WithoutReverted(t.Context(), index, planned, History{
		Files: now, Head: hashOf(2), LastPush: hashOf(1),
		Before: func(context.Context) (Files, bool) { return before, true },
		Pushed: func() (Files, bool) { return before, true },
	})
	if len(reverted) != 1 || reverted[0].Policy != "app" {
		t.Errorf("reverted %v, want app alone", reverted)
	}
}
