// SPDX-License-Identifier: Apache-2.0

package contention

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPauses(t *testing.T) {
	p := Policy{Burst: 3, Window: 5 * time.Minute, InitialBackoff: 10 * time.Second, MaxBackoff: time.Minute}
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		every time.Duration
		want  []time.Duration // the pause after each repair
	}{
		"repairs in a row wait longer and longer": {time.Second,
			[]time.Duration{0, 0, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, time.Minute}},
		"repairs within the window count together":     {5 * time.Minute, []time.Duration{0, 0, 10 * time.Second}},
		"repairs that are far apart are not contended": {5*time.Minute + 1, []time.Duration{0, 0, 0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var h History
			var got []time.Duration
			now := noon
			for range tc.want {
				h = p.Repaired(h, now)
				got = append(got, h.Pause(now))
				now = now.Add(tc.every)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAPauseEnds(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	h := Policy{Burst: 1, Window: time.Minute, InitialBackoff: 10 * time.Second, MaxBackoff: time.Minute}.Repaired(History{}, now)
	for after, want := range map[time.Duration]time.Duration{
		0:                10 * time.Second,
		4 * time.Second:  6 * time.Second,
		10 * time.Second: 0,
		time.Hour:        0,
	} {
		if got := h.Pause(now.Add(after)); got != want {
			t.Errorf("after %s: %s, want %s", after, got, want)
		}
	}
}
