// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

func TestAStateIsAFileThatPeopleRead(t *testing.T) {
	soaked := epoch.Add(time.Hour)
	state := State{
		Candidate: &Candidate{Bundle: "b", Since: epoch},
		Bundles: []KnownBundle{{
			Bundle: sluicev1.Bundle{ID: "b", Versions: []sluicev1.Version{{Artifact: "app", Tag: "2"}}}, Seen: epoch,
		}},
		Quarantine: []Quarantine{{Bundle: "b", Stage: "production", Reason: "it failed", At: epoch, Until: &soaked}},
		Stages: map[string]StageState{"production": {
			Landings: []Landing{{
				Bundle: "b", At: epoch, Kind: sluicev1.LandingPromotion, Verdict: VerdictVerified,
				Soaked: Duration(90 * time.Minute), Since: &soaked,
			}},
			Hold: &Consent{By: "alice", At: epoch, Reason: "an incident"},
		}},
		Handled: map[string]time.Time{"hold/production": epoch}, Refused: map[string]string{"hold/production": "no"},
		Unguarded: map[string]time.Time{"approve/production": epoch},
		Events: []Event{{
			Serial: 3, Warning: true, Stage: "production", Reason: "StageFailed", Message: "it failed", Commit: "aa", Verdict: VerdictFailed,
		}},
	}
	text, err := state.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"# What Sluice decided", "soaked: 1h30m0s\n", "reason: it failed\n", `at: "2026-03-02T12:00:00Z"`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%q lacks %q", text, part)
		}
	}
	read, err := ParseState(text)
	if err != nil {
		t.Fatal(err)
	}
	state.Version = 1
	if diff := cmp.Diff(state, read); diff != "" {
		t.Error(diff)
	}
}

func TestEventsStayInTheStateUntilTheyAreTold(t *testing.T) {
	event := func(serial int64, reason string) Event { return Event{Serial: serial, Reason: reason} }
	kept := []Event{event(3, "A"), event(3, "B"), event(4, "C")}
	for name, tc := range map[string]struct {
		told int64
		want []Event
	}{
		"nothing was told":        {2, []Event{event(3, "A"), event(3, "B"), event(4, "C"), event(5, "D")}},
		"those of the one before": {3, []Event{event(4, "C"), event(5, "D")}},
		"all were told":           {4, []Event{event(5, "D")}},
	} {
		before := State{Serial: 5, Events: kept}
		got := before.WithEvents([]Event{{Reason: "D"}}, tc.told, time.Time{})
		if diff := cmp.Diff(tc.want, got.Events); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff([]Event{event(3, "A"), event(3, "B"), event(4, "C")}, kept); diff != "" {
			t.Errorf("%s: the state before was changed: %s", name, diff)
		}
	}
	state := State{Serial: 1}
	for range maxEvents + 1 {
		state.Serial++
		state = state.WithEvents([]Event{{Reason: "E"}}, 0, time.Time{})
	}
	if n := len(state.Events); n != maxEvents || state.Events[n-1].Serial != state.Serial {
		t.Errorf("%d events are kept, up to %d of %d", n, state.Events[n-1].Serial, state.Serial)
	}
}

func TestEventsSinceATimeAreThoseThatSayWhenTheyWere(t *testing.T) {
	noon := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	state := State{Serial: 1}.WithEvents([]Event{{Reason: "Before"}}, 0, noon.Add(-time.Second))
	state.Events = append(state.Events, Event{Reason: "Whenever"})
	state = state.WithEvents([]Event{{Reason: "Then"}}, 0, noon.Add(time.Millisecond))
	if got := state.EventsSince(noon); len(got) != 1 || got[0].Reason != "Then" {
		t.Errorf("got %v", got)
	}
}

func TestStatesThatCannotBeUsed(t *testing.T) {
	for name, text := range map[string]string{
		"no YAML":                   "\t",
		"another format":            "version: 2\n",
		"no format":                 "bundles: []\n",
		"a field that there is not": "version: 1\nbundels: []\n",
		"a duration that is none":   "version: 1\nstages: {a: {landings: [{bundle: b, soaked: long}]}}\n",
		"megabytes":                 "version: 1\n#" + strings.Repeat("x", maxState),
	} {
		if _, err := ParseState([]byte(text)); !errors.Is(err, ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseState([]byte("version: 1\n#" + strings.Repeat("x", maxState-12))); err != nil {
		t.Errorf("as much as it may have: %v", err)
	}
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte("version: 1\nstages: {a: {landings: [{bundle: b, soaked: 1h}]}}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseState(text)
		if err != nil {
			return
		}
		again, err := s.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseState(again); err != nil && len(again) <= maxState {
			t.Errorf("%q cannot be read: %v", again, err)
		}
	})
}

func TestAStateDoesNotGrowWithoutEnd(t *testing.T) {
	var s State
	var st StageState
	for i := range 300 {
		id := fmt.Sprint(i)
		s = s.withBundle(sluicev1.Bundle{ID: id}, epoch)
		s.Quarantine = append(s.Quarantine, Quarantine{Bundle: id})
		st.Landings = append(st.Landings, Landing{Bundle: id})
		st.Approvals, st.Overrides = append(st.Approvals, Consent{Bundle: id}), append(st.Overrides, Consent{Bundle: id})
		st.Ignored = append(st.Ignored, Ignored{Bundle: id})
	}
	named := map[string]string{"candidate": "c", "writing": "w", "pin": "p", "proposal": "r", "nobody": "n"}
	for _, id := range named {
		s = s.withBundle(sluicev1.Bundle{ID: id}, epoch)
	}
	s.Candidate = &Candidate{Bundle: "c"}
	st.Writing, st.Pin, st.Proposal = &Writing{Bundle: "w"}, &Writing{Bundle: "p"}, &Proposal{Bundle: "r"}
	s.Stages = map[string]StageState{"production": st}
	s = s.trimmed()
	st = s.Stages["production"]
	if len(st.Landings) != maxLandings || st.Landings[0].Bundle != "0" {
		t.Errorf("%d landings from %s on", len(st.Landings), st.Landings[0].Bundle)
	}
	if len(s.Quarantine) != maxQuarantine || s.Quarantine[0].Bundle != "200" {
		t.Errorf("%d in quarantine from %s on", len(s.Quarantine), s.Quarantine[0].Bundle)
	}
	if len(st.Approvals) != maxDecisions || len(st.Overrides) != maxDecisions || len(st.Ignored) != maxDecisions ||
		st.Ignored[0].Bundle != "250" {
		t.Errorf("%d approvals, %d overrides, %d ignored", len(st.Approvals), len(st.Overrides), len(st.Ignored))
	}
	for what, id := range named {
		if _, known := s.Bundle(id); known != (what != "nobody") {
			t.Errorf("the bundle of %s is known: %v", what, known)
		}
	}
	for id, want := range map[string]bool{"0": true, "19": true, "20": false, "199": false, "200": true, "299": true} {
		if _, known := s.Bundle(id); known != want {
			t.Errorf("bundle %s is known: %v", id, known)
		}
	}
}

func TestContents(t *testing.T) {
	content := func(versions ...sluicev1.Version) Content { return Content{Versions: versions} }
	app, web := sluicev1.Version{Artifact: "app", Tag: "2"}, sluicev1.Version{Artifact: "web", Tag: "2"}
	whole := sluicev1.Version{Artifact: "app", Image: "registry/app", Tag: "2", Digest: "sha256:a"}
	tests := map[string]struct {
		a, b Content
		same bool
	}{
		"the same":                      {content(app, web), content(web, app), true},
		"one that has fewer parts":      {content(app), content(whole), true},
		"another tag":                   {content(app), content(sluicev1.Version{Artifact: "app", Tag: "3"}), false},
		"another digest":                {content(whole), content(sluicev1.Version{Artifact: "app", Tag: "2", Digest: "sha256:b"}), false},
		"another image":                 {content(whole), content(sluicev1.Version{Artifact: "app", Image: "other/app", Tag: "2"}), false},
		"one more artifact":             {content(app), content(app, web), false},
		"another artifact":              {content(app), content(web), false},
		"one that cannot be read":       {content(app), Content{Versions: []sluicev1.Version{app}, Problem: "no"}, false},
		"the other that cannot be":      {Content{Versions: []sluicev1.Version{app}, Problem: "no"}, content(app), false},
		"none, which is never the same": {content(), content(), false},
	}
	for name, tc := range tests {
		if got := tc.a.Same(tc.b); got != tc.same {
			t.Errorf("%s: %v", name, got)
		}
	}
	if a, b := NewBundle([]sluicev1.Version{app, web}), NewBundle([]sluicev1.Version{web, app}); a.ID != b.ID || len(a.ID) != idLength {
		t.Errorf("the order matters: %s, %s", a.ID, b.ID)
	}
	if got := Describe(sluicev1.Bundle{ID: "abc"}); got != "abc" {
		t.Errorf("described as %s", got)
	}
}

func TestWhatWasThereBeforeIsFound(t *testing.T) {
	s := newSimulation(t, staging())
	s.settle()
	s.release("2")
	s.settle()
	landings := s.state.Stages["staging"].Landings
	if len(landings) != 2 || landings[0].Found || !landings[1].Found {
		t.Errorf("landings %+v, want the first one alone to be found", landings)
	}
}

// A stage whose fields hold whole images could not be taken back to a bundle that was seen
// first in a stage whose fields hold tags.
func TestABundleGetsTheNamesThatItsFirstFieldsDidNotHave(t *testing.T) {
	var state State
	tags := sluicev1.Version{Artifact: "app", Tag: "1"}
	first := NewBundle([]sluicev1.Version{tags})
	state = state.withBundle(first, epoch)
	before := state
	whole := tags
	whole.Image = "registry/app"
	state = state.withBundle(sluicev1.Bundle{ID: first.ID, Versions: []sluicev1.Version{whole}}, epoch)
	if b, _ := state.Bundle(first.ID); len(state.Bundles) != 1 || b.Versions[0] != whole {
		t.Errorf("it is %+v", state.Bundles)
	}
	if b, _ := before.Bundle(first.ID); b.Versions[0] != tags {
		t.Error("the state of before changed")
	}
}
