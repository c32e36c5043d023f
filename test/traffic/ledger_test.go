// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"math"
	"testing"
	"time"
)

func TestLedgerCountsWhatUsersGot(t *testing.T) {
	l := &Ledger{Slow: time.Second}
	m := NewMetrics()
	m.Ledger = l
	l.Open()
	m.Answered("ns", "app-primary-1-a", 200, time.Millisecond)
	m.Answered("ns", "app-primary-1-a", 502, time.Millisecond)
	m.Answered("ns", "app-2-b", 200, time.Millisecond)
	m.Answered("ns", "app-2-b", 500, time.Millisecond)
	m.Answered("ns", "app-2-b", 200, 2*time.Second)
	m.Unserved("ns", "app")
	got := l.Open()
	if got.Took <= 0 {
		t.Errorf("took %v", got.Took)
	}
	got.Took = 0
	if want := (Account{Requests: 6, Failed: 4, Canary: 3, CanaryFailed: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if again := l.Open(); again.Requests != 0 {
		t.Errorf("a new account has %+v", again)
	}
}

func TestReplayOfFlaggersTicks(t *testing.T) {
	rules := TickRules{Interval: 10 * time.Second, Threshold: 2, StepWeight: 20, MaxWeight: 60}
	good := func(failing float64) bool { return failing <= 0.01 }
	second := func(requests, canary, failed int) Account {
		return Account{Took: time.Second, Requests: requests, Canary: canary, CanaryFailed: failed}
	}
	tests := map[string]struct {
		rules   TickRules
		account Account
		want    float64
	}{
		"a bad canary keeps its first weight for threshold+1 ticks": {rules, second(100, 10, 5), 3 * 10 * 100 * 0.2 * 0.5},
		"a good one goes through all weights":                       {rules, second(100, 1000, 10), 10 * 100 * (0.2 + 0.4 + 0.6) * 0.01},
		"one without requests does no harm":                         {rules, second(100, 0, 0), 0},
		"the docs' own sample": {
			TickRules{time.Minute, 10, 10, 50},
			second(100, 10, 10),
			11 * 60 * 100 * 0.1,
		},
		"no time at all": {rules, Account{}, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.rules.Replay(tc.account, good); math.Abs(got-tc.want) > 1e-6 {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
