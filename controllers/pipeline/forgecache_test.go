// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"testing"
	"time"
)

// Checks ran for long, and then the forge wanted a moment to merge: it was asked again after
// twice the last wait for the checks.
func TestAWaitForSomethingElseBeginsAnew(t *testing.T) {
	now := time.Unix(0, 0)
	var m pullRequestCache
	for i, tc := range []struct {
		awaited string
		want    time.Duration
	}{
		{awaitedChecks, 2 * time.Second},
		{awaitedChecks, 4 * time.Second},
		{awaitedChecks, 8 * time.Second},
		{"try again later", 2 * time.Second},
		{"try again later", 4 * time.Second},
		{awaitedChecks, 2 * time.Second},
	} {
		if m.soon(now, tc.awaited); m.again.Sub(now) != tc.want {
			t.Errorf("%d: %s is waited for %s, want %s", i, tc.awaited, m.again.Sub(now), tc.want)
		}
	}
}
