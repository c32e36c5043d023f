// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 100 {
		got := Spread(time.Hour, 0.05)
		if got < 57*time.Minute || got > 63*time.Minute {
			t.Fatalf("an hour is spread to %s", got)
		}
		seen[got] = true
	}
	if len(seen) == 1 {
		t.Error("all are the same")
	}
	if got := Spread(time.Hour, 0); got != time.Hour {
		t.Errorf("without a part: %s", got)
	}
}
