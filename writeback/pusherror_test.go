// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"errors"
	"testing"
)

// A condition that changes with each attempt tells an event each time.
func TestTheReasonOfARejectedPushStaysTheSame(t *testing.T) {
	tests := map[string][2]string{
		"a time":             {"declined at 2026-01-02T03:04:05Z", "declined at 2026-02-03T04:05:06Z"},
		"a Unix time":        {"declined (1700000000)", "declined (1700000312)"},
		"milliseconds":       {"declined [1700000000123]", "declined [1700000312456]"},
		"how long it took":   {"hook took 12 ms, 0.31s in all", "hook took 340ms, 1.02 s in all"},
		"id of the request":  {"declined (request id: 01HV3Q9ZK2)", "declined (request id: 01HV3QB7M5)"},
		"X-Request-Id":       {"X-Request-Id: a1b2", "X-Request-Id: c3d4"},
		"a UUID":             {"ref 0a1b2c3d-0000-4000-8000-000000000001", "ref 0a1b2c3d-0000-4000-8000-0000000000ff"},
		"where objects wait": {"in tmp_objdir-incoming-a8Xk2", "in tmp_objdir-incoming-0kL9z"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			first, second := &pushError{err: errors.New(tc[0])}, &pushError{err: errors.New(tc[1])}
			if first.Error() != second.Error() {
				t.Errorf("got %q and then %q", first, second)
			}
		})
	}
}

func TestTheReasonOfARejectedPushIsKept(t *testing.T) {
	tests := map[string]string{
		"number of a ticket":     "the message must name a change request (CHG0001234)",
		"a merge request":        "changes must be made through a pull request, see merge request 12",
		"a limit":                "file is 120 MB; the limit is 100 MB, in 30 seconds at most",
		"the commit of somebody": "cannot lock ref: is at 0123456789abcdef0123456789abcdef01234567",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			if got := (&pushError{err: errors.New(text)}).Error(); got != text {
				t.Errorf("got %q, want %q", got, text)
			}
		})
	}
}
