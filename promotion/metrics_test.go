// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// Looks of a table, by a letter: good, bad, no value, unknown.
var lookOf = map[rune]Measurement{
	'g': {State: VerificationPassed}, 'b': {VerificationFailed, "latency is 600, and may be at most 500"},
	'n': {VerificationPending, "latency has no values"}, 'u': {VerificationUnknown, "the server is away"},
}

func lookedAt(length, interval time.Duration, failures int32) *sluicev1.MetricsVerification {
	return &sluicev1.MetricsVerification{
		For: metav1.Duration{Duration: length}, Interval: metav1.Duration{Duration: interval}, Failures: failures,
	}
}

func TestWhatLooksSay(t *testing.T) {
	for name, tc := range map[string]struct {
		looks    string
		failures int32
		want     Verification
		says     string
	}{
		"none yet":       {"", 0, VerificationPending, "0 of 5 looks at its metrics are done"},
		"too few":        {"gggg", 0, VerificationPending, "4 of 5"},
		"as many as fit": {"ggggg", 0, VerificationPassed, "5 of 5 looks at its metrics were good"},
		"a bad one where none may be": {
			"gb", 0, VerificationFailed, "latency is 600, and may be at most 500, in 1 of 2 looks, and 0 may be bad",
		},
		"as many bad ones as may be":         {"bbggg", 2, VerificationPassed, "3 of 5 looks at its metrics were good"},
		"one more":                           {"bbgb", 2, VerificationFailed, "in 3 of 4 looks, and 2 may be bad"},
		"what is bad at the very end is bad": {"ggggb", 0, VerificationFailed, "in 1 of 5"},
		"a server that is away is no fault": {
			"gggu", 0, VerificationUnknown, "3 of 5 looks at its metrics are done: the server is away",
		},
		"and its time is looked at later": {"ugugugug", 0, VerificationPending, "4 of 5"},
		"until there are enough":          {"ugugugugug", 0, VerificationPassed, "5 of 5"},
		"no value is no look": {
			"nnnnnnn", 0, VerificationPending, "0 of 5 looks at its metrics are done: latency has no values",
		},
		"a bad one that may be is told": {
			"b", 1, VerificationPending, "1 of 5 looks at its metrics are done, 1 bad (latency is 600",
		},
		"a server that is away after too many bad ones": {"bu", 0, VerificationFailed, "in 1 of 1"},
	} {
		t.Run(name, func(t *testing.T) {
			v, l, at := lookedAt(5*time.Minute, time.Minute, tc.failures), Measurements{}, time.Unix(1_700_000_000, 0)
			for _, letter := range tc.looks {
				l, at = l.With(lookOf[letter], at), at.Add(time.Minute)
			}
			if got, says := l.Verification(v); got != tc.want || !strings.Contains(says, tc.says) {
				t.Errorf("got %d, %q", got, says)
			}
		})
	}
}

func TestWhenMetricsAreLookedAt(t *testing.T) {
	begun := time.Unix(1_700_000_000, 0)
	for name, tc := range map[string]struct {
		length, interval, window time.Duration
		first, all               time.Duration
	}{
		"once an interval":                              {5 * time.Minute, time.Minute, time.Minute, time.Minute, 5 * time.Minute},
		"a window that is longer is waited for":         {5 * time.Minute, time.Minute, 3 * time.Minute, 3 * time.Minute, 7 * time.Minute},
		"what is left of an interval is one":            {90 * time.Second, time.Minute, 0, time.Minute, 2 * time.Minute},
		"an interval that is longer than all is enough": {time.Minute, 5 * time.Minute, 0, 5 * time.Minute, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			v, l := lookedAt(tc.length, tc.interval, 0), Measurements{Begun: begun}
			if got := l.Due(v, tc.window).Sub(begun); got != tc.first {
				t.Errorf("first after %s, want %s", got, tc.first)
			}
			last := begun
			for state := VerificationPending; state == VerificationPending; state, _ = l.Verification(v) {
				last = l.Due(v, tc.window)
				l = l.With(Measurement{State: VerificationPassed}, last)
			}
			if got := last.Sub(begun); got != tc.all || MetricsTime(v, tc.window) != tc.all {
				t.Errorf("it takes %s, and %s is said; want %s", got, MetricsTime(v, tc.window), tc.all)
			}
		})
	}
}
