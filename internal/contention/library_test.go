// SPDX-License-Identifier: Apache-2.0

package contention

import (
	"testing"
	"time"

	"k8s.io/client-go/util/flowcontrol"
	clocktesting "k8s.io/utils/clock/testing"
)

// The Backoff of client-go knows no burst, so that of an object that somebody edits by hand now
// and then it would hold up what is repaired at once here.
func TestEditsByHandWaitWithTheBackoffOfClientGoAndNotHere(t *testing.T) {
	p := Policy{Burst: 3, Window: 5 * time.Minute, InitialBackoff: 10 * time.Second, MaxBackoff: 10 * time.Minute}
	clk := clocktesting.NewFakeClock(time.Unix(0, 0))
	library := flowcontrol.NewFakeBackOff(p.InitialBackoff, p.MaxBackoff, clk)
	library.HasExpiredFunc = func(event, last time.Time, _ time.Duration) bool { return event.Sub(last) > p.Window }
	var h History
	var ours, theirs time.Duration
	for range 10 { // two edits each time, which somebody tries out
		for range 2 {
			h = p.Repaired(h, clk.Now())
			ours += h.Pause(clk.Now())
			library.Next("object", clk.Now())
			theirs += library.Get("object")
			clk.Step(time.Minute)
		}
		clk.Step(time.Hour)
	}
	if ours != 0 || theirs != 10*(10+20)*time.Second {
		t.Errorf("they wait %s here, and %s with client-go", ours, theirs)
	}
}
