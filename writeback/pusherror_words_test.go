// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"errors"
	"strings"
	"testing"
)

// TestTheSameRejectionReadsTheSameAtEachAttempt has what servers and the proxies before
// them say differently each time, which would be an event each time.
func TestTheSameRejectionReadsTheSameAtEachAttempt(t *testing.T) {
	tests := map[string]struct {
		one, two string
		kept     string
	}{
		"a request of GitHub": {
			"denied (request id C7D4:1F2B:3E8A5F1:4A7C2D3:65F1A2B3)",
			"denied (request id AB01:9C2B:118A5F1:5B7C2D3:65F1A2C4)", "denied",
		},
		"an activity of Azure": {
			"TF401027: you need GenericContribute. Activity ID: 6b1f4ac1",
			"TF401027: you need GenericContribute. Activity ID: 7c2a5bd2", "GenericContribute",
		},
		"a ray of a proxy":  {"blocked, Ray ID: 8f1c2d3e4b5a6978", "blocked, Ray ID: 9a2d3e4f5c6b7089", "blocked"},
		"a date of the USA": {"frozen, it is 11/29/2026 10:03:07 PM", "frozen, it is 11/30/2026 1:14:59 AM", "frozen"},
		"a date of Germany": {"frozen, it is 29.11.2026, 10:03", "frozen, it is 30.11.2026, 11:14", "frozen"},
		"a time of the day": {"frozen at 10:03 PM", "frozen at 11:14 PM", "frozen"},
		"how long it took":  {"hook took 3s and declined", "hook took 4s and declined", "declined"},
		"how long it is to be waited": {
			"rate limit exceeded, please try again in 42 seconds", "rate limit exceeded, please try again in 7 seconds",
			"limit exceeded, please try again in a while",
		},
		"when a freeze ends": {"branch frozen, wait 14 minutes", "branch frozen, wait 3 minutes", "branch frozen, wait a while"},
		"a temporary file": {
			"mktemp: cannot write '/tmp/tmp.Xa81kLp2': read-only", "mktemp: cannot write '/tmp/tmp.Zz91mNb4': read-only", "'/tmp/...': read-only",
		},
		"a process": {
			"update-hook[4242]: denied by pid 4242", "update-hook[517]: denied by pid 517", "update-hook[...]: denied by pid ...",
		},
		"a rule whose numbers stay": {
			"at most 3 files, of 60 seconds each, see rules[7]", "at most 3 files, of 60 seconds each, see rules[7]",
			"at most 3 files, of 60 seconds each, see rules[7]",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			one, two := (&pushError{err: errors.New(tc.one)}).Error(), (&pushError{err: errors.New(tc.two)}).Error()
			if one != two || !strings.Contains(one, tc.kept) {
				t.Errorf("%q and %q", one, two)
			}
		})
	}
}
