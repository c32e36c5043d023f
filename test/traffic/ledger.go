// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// Ledger counts what users got, request by request, for what they got to be
// compared with what they would have got. It is about the one app of a namespace.
type Ledger struct {
	// Slow is the time from which on an answer is as bad as an error.
	Slow time.Duration

	mu      sync.Mutex
	since   time.Time
	account Account
}

// Account is what users got in some time.
type Account struct {
	Took time.Duration
	// Requests of users, and those of them that failed.
	Requests, Failed int
	// Canary and CanaryFailed are those of them that the canary answered.
	Canary, CanaryFailed int
}

// Open starts a new account, and returns the one before.
func (l *Ledger) Open() Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, now := l.account, time.Now()
	before.Took = now.Sub(l.since)
	l.account, l.since = Account{}, now
	return before
}

// answered counts a request that a pod answered.
func (l *Ledger) answered(pod string, status int, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	failed := 0
	if status >= http.StatusInternalServerError || l.Slow > 0 && took > l.Slow {
		failed = 1
	}
	l.account.Requests++
	l.account.Failed += failed
	if !strings.Contains(pod, "-primary-") {
		l.account.Canary++
		l.account.CanaryFailed += failed
	}
}

// unserved counts a request that no pod could answer.
func (l *Ledger) unserved() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.account.Requests++
	l.account.Failed++
}

// Share of the requests that failed.
func (a Account) Share() float64 { return share(a.Failed, a.Requests) }

func share(part, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(part) / float64(of)
}
