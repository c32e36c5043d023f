// SPDX-License-Identifier: Apache-2.0

package decide

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/internal/contention"
)

func TestRepairs(t *testing.T) {
	var r Repairs
	for range RepairPolicy.Burst - 1 {
		if r = r.Next(now); r.Pause(now) > 0 {
			t.Fatalf("paused after %d repairs", r.Repairs)
		}
	}
	r.Reported = true
	var pauses []time.Duration
	for range 9 {
		r = r.Next(now)
		pauses = append(pauses, r.Pause(now))
	}
	want := []time.Duration{10, 20, 40, 80, 160, 320, 600, 600, 600}
	for i := range want {
		want[i] *= time.Second
	}
	if diff := cmp.Diff(want, pauses); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
	if !r.Reported {
		t.Error("in a row, it is forgotten that it was reported")
	}
	peace := now.Add(16 * time.Minute)
	if later := r.Next(peace); later.Repairs != 1 || later.Pause(peace) > 0 || later.Reported {
		t.Errorf("after a long peace: %+v", later)
	}
}

func TestTheFieldsOfAllRepairsAreRememberedWithinBounds(t *testing.T) {
	r := Repairs{}.Next(now).With([]string{".b"}).Next(now).With([]string{".a", ".b"})
	if diff := cmp.Diff([]string{".a", ".b"}, r.Fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	if later := r.Next(now.Add(16 * time.Minute)); len(later.Fields) > 0 {
		t.Errorf("after a long peace: %v", later.Fields)
	}
	var many []string
	for i := range 2 * maxRepairedFields {
		many = append(many, fmt.Sprintf(".f%04d", i))
	}
	r = r.With(many)
	text := kustomizations.Describe(Contention{Fields: r.Fields})
	if len(r.Fields) != maxRepairedFields || !strings.Contains(text, ".f0017 and 980 more") {
		t.Errorf("%d fields: %s", len(r.Fields), text)
	}
}

func TestWhoIsToldOfContention(t *testing.T) {
	repairs := func(count int) Repairs { return Repairs{History: contention.History{Repairs: count}} }
	reported := repairs(4)
	reported.Reported = true
	tests := map[string]struct {
		found   Contention
		repairs Repairs
		want    bool
		says    string
	}{
		"a first repair is none": {repairs: repairs(1), says: "somebody (fields)"},
		"a third one is": {
			found:   Contention{Manager: "hpa", Fields: []string{".spec.replicas"}},
			repairs: repairs(3),
			want:    true,
			says:    "hpa (.spec.replicas)",
		},
		"it is told once": {repairs: reported, says: "somebody"},
		"two owners are told of at once": {
			found:   Contention{Owner: other},
			repairs: repairs(1),
			want:    true,
			says:    "is applied by Kustomization/ns/other as well",
		},
		"an object that is deleted": {found: Contention{Deleted: true}, repairs: repairs(3), want: true, says: "is deleted again and again"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.found.Reported(tc.repairs); got != tc.want {
				t.Errorf("Reported = %v", got)
			}
			if text := kustomizations.Describe(tc.found); !strings.Contains(text, tc.says) {
				t.Errorf("%q does not say %q", text, tc.says)
			}
		})
	}
}
