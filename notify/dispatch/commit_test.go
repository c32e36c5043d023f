// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"errors"
	"testing"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/notify/message"
	"github.com/sluice-cd/sluice/notify/outbox"
)

// Expressions of one namespace's Alerts, each of which took less than a second, held an event
// for all others.
func TestWhatTakesLongIsMatchedInTheTurnOfItsNamespace(t *testing.T) {
	for name, tc := range map[string]struct {
		sizes []int
		bytes int
		want  []bool // whether it is matched at once
	}{
		"many small ones":           {[]int{10, 10, 10}, 200, []bool{true, true, true}},
		"a large one":               {[]int{10_000, 10}, maxMessage, []bool{false, true}},
		"several that are together": {[]int{100, 100}, maxMessage, []bool{true, false}},
		"a large one of few bytes":  {[]int{10_000}, 100, []bool{true}},
		"more than there may be":    {[]int{49_999, 2, 1}, 1, []bool{true, false, true}},
	} {
		var e matchCost
		for i, size := range tc.sizes {
			if got := e.spend(size, tc.bytes); got != tc.want[i] {
				t.Errorf("%s: number %d is %t, want %t", name, i, got, tc.want[i])
			}
		}
	}
}

// As many expressions of a namespace were evaluated at once as it has deliveries, twenty times
// a second, each for some tenths of a second.
func TestOneExpressionOfANamespaceIsEvaluatedAtATime(t *testing.T) {
	d := &Dispatcher{evaluations: background.NewSlots[string](maxEvaluations, 1)}
	of := func(namespace string) *v1beta3.Provider {
		p := &v1beta3.Provider{}
		p.Namespace, p.Spec.CommitStatusExpr = namespace, "'a' + 'b'"
		return p
	}
	if err := d.evaluations.Acquire(t.Context(), "busy"); err != nil {
		t.Fatal(err)
	}
	hurried, cancel := context.WithCancel(t.Context())
	cancel()
	var later *outbox.Temporary
	if _, err := d.evaluate(hurried, of("busy"), nil); !errors.As(err, &later) {
		t.Errorf("got %v", err)
	}
	if value, err := d.evaluate(t.Context(), of("other"), nil); value != "ab" || err != nil {
		t.Errorf("got %v, %v", value, err)
	}
	d.evaluations.Release("busy")
	if value, err := d.evaluate(t.Context(), of("busy"), nil); value != "ab" || err != nil {
		t.Errorf("got %v, %v", value, err)
	}
}

// Each status of a commit was sent, however many newer ones waited behind it.
func TestOfTheStatusesOfACommitTheNextReplacesTheOneThatWaits(t *testing.T) {
	of := func(revision, summary string) message.Event {
		e := message.Event{Metadata: map[string]string{"revision": revision}}
		if summary != "" {
			e.Metadata["summary"] = summary
		}
		return e
	}
	const commit, another = "main@sha1:0123456789012345678901234567890123456789", "main@sha1:9876543210987654321098765432109876543210"
	github := &v1beta3.Provider{Spec: v1beta3.ProviderSpec{Type: "github"}}
	first := replacesStatus(github, of(commit, ""))
	if first == "" || first != replacesStatus(github, of(commit, "")) {
		t.Errorf("the next one does not replace %q", first)
	}
	for name, other := range map[string]string{
		"another commit": replacesStatus(github, of(another, "")),
		"another genre":  replacesStatus(github, of(commit, "staging")),
	} {
		if other == "" || other == first {
			t.Errorf("%s: %q replaces %q", name, other, first)
		}
	}
	for name, got := range map[string]string{
		"no commit": replacesStatus(github, of("", "")),
		"a chat":    replacesStatus(&v1beta3.Provider{Spec: v1beta3.ProviderSpec{Type: "slack"}}, of(commit, "")),
		"expression": replacesStatus(&v1beta3.Provider{Spec: v1beta3.ProviderSpec{
			Type: "github", CommitStatusExpr: "event.reason",
		}}, of(commit, "")),
	} {
		if got != "" {
			t.Errorf("%s: %q is replaced", name, got)
		}
	}
}
