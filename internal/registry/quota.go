// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-cd/sluice/internal/outbound"
)

// Bounds of the delay that a registry may ask for.
const (
	minRetryAfter     = time.Second
	defaultRetryAfter = time.Minute
	maxRetryAfter     = time.Hour
)

// retryAfter is how long a registry that refused a request is left alone.
func retryAfter(header http.Header, now time.Time) time.Duration {
	after, ok := outbound.RetryAfter(header, now, maxRetryAfter)
	if !ok {
		return defaultRetryAfter
	}
	return max(after, minRetryAfter)
}

// quota is what a registry says is left of its limit. Zero is unknown, except of
// remaining, for which that is -1.
type quota struct {
	limit, remaining int64
	reset, window    time.Duration
}

// readQuota understands the headers in use:
//
//	RateLimit-Limit: 100;w=21600         Docker Hub
//	RateLimit-Remaining: 76;w=21600
//	RateLimit-Remaining: 0               drafts 00 to 06 of the IETF
//	RateLimit-Reset: 30
//	RateLimit: limit=100, remaining=7, reset=30       draft 07
//	RateLimit: "default";r=7;t=30                     since draft 08
//	X-RateLimit-Remaining, X-RateLimit-Reset          with a Unix time
func readQuota(header http.Header, now time.Time) quota {
	q := quota{remaining: -1}
	for _, prefix := range []string{"X-Ratelimit-", "Ratelimit-"} {
		if v, params := item(header.Get(prefix + "Remaining")); v >= 0 {
			q.remaining, q.window = v, seconds(params["w"])
		}
		if v, _ := item(header.Get(prefix + "Limit")); v >= 0 {
			q.limit = v
		}
		if v, _ := item(header.Get(prefix + "Reset")); v >= 0 {
			q.reset = resetIn(v, now)
		}
	}
	params := parameters(header.Get("Ratelimit"))
	for _, name := range []string{"remaining", "r"} {
		if v, ok := params[name]; ok {
			q.remaining = v
		}
	}
	for _, name := range []string{"reset", "t"} {
		if v, ok := params[name]; ok {
			q.reset = seconds(v)
		}
	}
	if v, ok := params["limit"]; ok {
		q.limit = v
	}
	return q
}

// resetIn reads seconds, or a Unix time, which no delay is as long as.
func resetIn(v int64, now time.Time) time.Duration {
	const longestDelay = 1_000_000_000
	if v > longestDelay {
		return min(max(time.Unix(v, 0).Sub(now), 0), maxRetryAfter)
	}
	return seconds(v)
}

func seconds(v int64) time.Duration {
	return time.Duration(min(max(v, 0), int64(7*24*time.Hour/time.Second))) * time.Second
}

// item reads a number with parameters, such as 76;w=21600; it is -1 when there is
// none.
func item(text string) (int64, map[string]int64) {
	head, _, _ := strings.Cut(text, ",") // a policy may follow
	number, _, _ := strings.Cut(head, ";")
	v, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || v < 0 {
		return -1, nil
	}
	return v, parameters(head)
}

// parameters reads name=number, between commas or semicolons.
func parameters(text string) map[string]int64 {
	found := map[string]int64{}
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' }) {
		name, value, ok := strings.Cut(part, "=")
		if v, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64); ok && err == nil && v >= 0 {
			found[strings.ToLower(strings.TrimSpace(name))] = v
		}
	}
	return found
}

// pause is how long to leave the registry alone, so that what is left lasts until
// there is more: nothing while a tenth of the limit is left, then ever longer.
func (q quota) pause() time.Duration {
	switch {
	case q.remaining < 0, q.remaining > max(q.limit/10, 5):
		return 0
	case q.reset > 0:
		return min(q.reset/time.Duration(q.remaining+1), maxRetryAfter)
	case q.remaining == 0 && q.window > 0: // a sliding window gives back one by one
		return min(q.window/time.Duration(max(q.limit, 1)), maxRetryAfter)
	}
	return 0
}
