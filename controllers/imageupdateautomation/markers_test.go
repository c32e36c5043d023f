// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// skippedMessages are the messages of the events about markers that are skipped.
func skippedMessages(t *testing.T, result reconciler.Result) []string {
	t.Helper()
	var messages []string
	for _, e := range result.Events {
		if e.Reason != imagev1.MarkerSkippedReason {
			continue
		}
		if e.Type != corev1.EventTypeWarning {
			t.Errorf("the event %q is a %s", e.Message, e.Type)
		}
		messages = append(messages, e.Message)
	}
	return messages
}

func TestMarkersWithTyposWereSkippedInSilence(t *testing.T) {
	tests := map[string]struct {
		comment, why string
	}{
		"a part that there is not":   {`{"$imagepolicy": "apps:app:tga"}`, "namespace:name[:tag|:name|:digest]"},
		"a policy that there is not": {`{"$imagepolicy": "apps:ap"}`, "policy 'ap' in namespace 'apps'"},
		"no JSON":                    {`{$imagepolicy: apps:app}`, "not a JSON object"},
		"single quotes":              {`{'$imagepolicy': 'apps:app'}`, "double quotes"},
		"a key that there is not":    {`{"$imagepolicies": "apps:app"}`, "not spelled $imagepolicy"},
		"no name":                    {`{"$imagepolicy": "apps"}`, "namespace:name[:tag|:name|:digest]"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f, a := newFixture(t, credentials(), source(), policy("2")), automation()
			f.repo.Commit("main", map[string]string{"b.yaml": "image: x:1 # " + tc.comment + "\n"})
			for run, events := range []int{1, 0} {
				result := f.succeeded(t, a)
				want := "repository up-to-date; 1 marker is skipped; see: sluice explain automation auto -n apps"
				if result.Message != want {
					t.Errorf("run %d: Ready says %q, want %q", run, result.Message, want)
				}
				told := skippedMessages(t, result)
				if len(told) != events {
					t.Fatalf("run %d: events %q, want %d", run, told, events)
				}
				for _, message := range told {
					for _, part := range []string{"b.yaml:1: skipped: ", tc.why, "; see: sluice explain automation auto -n apps"} {
						if !strings.Contains(message, part) {
							t.Errorf("the event %q lacks %q", message, part)
						}
					}
				}
			}
		})
	}
}

func TestSkippedMarkersAreToldAgainWhenOthersAre(t *testing.T) {
	const typo, other = "image: x:1 # {\"$imagepolicy\": \"apps:ap\"}\n", "image: x:1 # {\"$imagepolicy\": \"apps:apq\"}\n"
	steps := []struct {
		name, content string
		told          int
		message       string
	}{
		{"the first typo", typo, 1, "; 1 marker is skipped; see: "},
		{"the same on another line", "\n" + typo, 0, "; 1 marker is skipped; see: "},
		{"another in its place", other, 1, "; 1 marker is skipped; see: "},
		{"one more", other + typo, 1, "; 2 markers are skipped; see: "},
		{"one is mended", other, 0, "; 1 marker is skipped; see: "},
		{"all are mended", "image: app:2\n", 0, ""},
	}
	f, a := newFixture(t, credentials(), source(), policy("2")), automation()
	for _, step := range steps {
		f.repo.Commit("main", map[string]string{"b.yaml": step.content})
		result := f.succeeded(t, a)
		if told := skippedMessages(t, result); len(told) != step.told {
			t.Errorf("%s: events %q, want %d", step.name, told, step.told)
		}
		if rest := strings.TrimPrefix(result.Message, "repository up-to-date"); !strings.HasPrefix(rest, step.message) ||
			step.message == "" && rest != "" {
			t.Errorf("%s: Ready says %q, want %q", step.name, result.Message, step.message)
		}
	}
}

// TestMarkersOfOthersAreNoFault counts them. A repository is often shared by automations of
// several namespaces, and each would tell of the markers of all others.
func TestMarkersOfOthersAreNoFault(t *testing.T) {
	unready := func(p *imagev1.ImagePolicy) { p.Status.Conditions[0].Status = "False" }
	for name, tc := range map[string]struct {
		policy *imagev1.ImagePolicy
		marker string
	}{
		"of a policy that is not ready": {policy("2", unready), "apps:app"},
		"of another namespace":          {policy("2"), "other:app"},
	} {
		t.Run(name, func(t *testing.T) {
			f, a := newFixture(t, credentials(), source(), tc.policy), automation()
			f.repo.Commit("main", map[string]string{"b.yaml": "image: x:1 # {\"$imagepolicy\": \"" + tc.marker + "\"}\n"})
			result := f.succeeded(t, a)
			if told := skippedMessages(t, result); len(told) != 0 || result.Message != "repository up-to-date" {
				t.Errorf("Ready says %q, events %q", result.Message, told)
			}
			if skipped := a.Status.Markers.Skipped; len(skipped) != 1 {
				t.Errorf("skipped %+v", skipped)
			}
		})
	}
}
