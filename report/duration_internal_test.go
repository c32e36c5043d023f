// SPDX-License-Identifier: Apache-2.0

package report

import (
	"testing"
	"time"
)

// The page said that something is tried again within 1h0m0s.
func TestDurationsAreWrittenAsPeopleReadThem(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Hour: "1 h", time.Minute: "1 min", 90 * time.Second: "1 min 30 s", 30 * time.Second: "30 s", 200 * time.Minute: "3 h 20 min",
		52 * time.Hour: "2 d 4 h", 48 * time.Hour: "2 d", time.Millisecond: "1 s", 59*time.Second + 700*time.Millisecond: "1 min",
		time.Hour + time.Second: "1 h",
	} {
		if got := inWords(d); got != want {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
}
