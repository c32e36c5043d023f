// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"cmp"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-cd/sluice/internal/outbound"
)

// contentLimit is what one identity writes at one host, but for statuses of commits: half of
// what GitHub allows, which is the strictest that says so (80 requests that generate content a
// minute, 500 an hour).
var contentLimit = rateLimit{perMinute: 40, perHour: 400}

const (
	// maxPause is the longest that a forge is left alone because it says so.
	maxPause = 65 * time.Minute
	// defaultPause is how long after a refusal that does not say.
	defaultPause = time.Minute
	// limitLife is how long an identity is remembered that asks nothing, and manyLimits
	// how many there are before those are looked for.
	limitLife  = 2 * time.Hour
	manyLimits = 256
)

// account is an identity at a host: whose requests a forge counts together.
type account struct{ host, identity string }

// limits keeps one limit for each account. A restart forgets them: a forge refuses the
// first request then, and says until when.
type limits struct {
	mu   sync.Mutex
	list map[account]*limit
}

// get returns the limit of an account.
func (l *limits) get(who account, now time.Time) *limit {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, ok := l.list[who]
	if !ok {
		if len(l.list) >= manyLimits {
			maps.DeleteFunc(l.list, func(_ account, other *limit) bool { return other.idle(now) })
		}
		found = &limit{remaining: -1}
		if l.list == nil {
			l.list = map[account]*limit{}
		}
		l.list[who] = found
	}
	found.mu.Lock()
	defer found.mu.Unlock()
	found.used = now
	return found
}

// rateLimit is how many requests may be made. Zero is any number.
type rateLimit struct{ perMinute, perHour int }

// sent are the times of the requests of the last hour that count together, oldest first.
type sent []time.Time

// next returns when one more request is within the limit, which is now or earlier if it is.
func (s *sent) next(now time.Time, max rateLimit) time.Time {
	for len(*s) > 0 && now.Sub((*s)[0]) >= time.Hour {
		*s = (*s)[1:]
	}
	n := len(*s)
	if max.perHour > 0 && n >= max.perHour {
		return (*s)[n-max.perHour].Add(time.Hour)
	}
	if max.perMinute > 0 && n >= max.perMinute {
		return (*s)[n-max.perMinute].Add(time.Minute)
	}
	return now
}

// limit is what one account may still ask.
type limit struct {
	mu        sync.Mutex
	used      time.Time
	until     time.Time
	content   sent
	statuses  sent
	remaining int64 // as the forge says; -1 is not said
}

func (l *limit) idle(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Sub(l.used) > limitLife && !l.until.After(now)
}

// allowRead returns when a request may be made, if not now.
func (l *limit) allowRead(now time.Time) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until, !l.until.After(now)
}

// allowContent is allowRead for a request that writes anything but the status of a commit, and
// counts it if it may be made.
func (l *limit) allowContent(now time.Time) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.allow(&l.content, contentLimit, now)
}

// allowStatus is allowContent for the status of a commit. These are counted apart, so that a push
// that hundreds of objects apply leaves pull requests what they need.
func (l *limit) allowStatus(now time.Time, max rateLimit) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.allow(&l.statuses, max, now)
}

// mayAllowStatus is allowStatus that counts nothing.
func (l *limit) mayAllowStatus(now time.Time, max rateLimit) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	until := later(l.until, l.statuses.next(now, max))
	return until, !until.After(now)
}

// allow counts a request if it may be made. The lock is held.
func (l *limit) allow(of *sent, max rateLimit, now time.Time) (time.Time, bool) {
	if until := later(l.until, of.next(now, max)); until.After(now) {
		return until, false
	}
	if max != (rateLimit{}) {
		*of = append(*of, now)
	}
	return now, true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// update reads what an answer says of limits, and reports whether it was refused for
// them. GitHub answers with 403 or 429, and says when the limit is reset, or after how
// many seconds to come back, or neither; Azure DevOps asks to wait in answers that
// succeed.
func (l *limit) update(now time.Time, resp *http.Response, message string) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	remaining, known := number(resp.Header, "X-RateLimit-Remaining", "RateLimit-Remaining")
	if known {
		l.remaining = remaining
	}
	refused := resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusForbidden &&
		(known && remaining == 0 || resp.Header.Get("Retry-After") != "" || strings.Contains(strings.ToLower(message), "rate limit"))
	reset := time.Time{}
	if at, ok := number(resp.Header, "X-RateLimit-Reset", "RateLimit-Reset"); ok && known && remaining == 0 {
		reset = time.Unix(at, 0)
	}
	var until time.Time
	if refused {
		until = refusedUntil(now, resp.Header, reset)
	} else {
		until = pausedUntil(now, resp.Header, cmp.Or(reset, now))
	}
	if until.After(l.until) {
		l.until = until
	}
	return l.until, refused
}

// pausedUntil is when a forge may be asked again by its Retry-After or, if it has none, by
// otherwise: no later than maxPause from now.
func pausedUntil(now time.Time, header http.Header, otherwise time.Time) time.Time {
	until := otherwise
	if after, ok := outbound.RetryAfter(header, now, maxPause); ok {
		until = now.Add(after)
	}
	if latest := now.Add(maxPause); until.After(latest) {
		until = latest
	}
	return until
}

// refusedUntil is pausedUntil for an answer that refuses the request. reset is when the forge
// says that an exhausted limit ends, zero if it does not say.
func refusedUntil(now time.Time, header http.Header, reset time.Time) time.Time {
	until := pausedUntil(now, header, cmp.Or(reset, now.Add(defaultPause)))
	if !until.After(now) {
		return now.Add(time.Second) // the forge's clock is ahead
	}
	return until
}

// number is the first of the headers that is one.
func number(header http.Header, names ...string) (int64, bool) {
	for _, name := range names {
		if n, err := strconv.ParseInt(header.Get(name), 10, 64); err == nil {
			return n, true
		}
	}
	return 0, false
}
