// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RetryAfter is how long a server asks to be left alone by the header Retry-After of its
// answer: seconds, or an HTTP date (RFC 9110, section 10.2.3). It is never negative, and at
// most longest, since the server decides neither how long a queue stands still nor when an
// object is looked at again. It is false if the header is missing or neither of the two.
//
// A date is counted from now, by our clock: where that of the server differs, the delay is
// as wrong, within its bounds.
func RetryAfter(header http.Header, now time.Time, longest time.Duration) (time.Duration, bool) {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if text == "" {
		return 0, false
	}
	if strings.Trim(text, "0123456789") == "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds > int64(longest/time.Second) {
			return longest, true // of so many digits, the only mistake is that they are too many
		}
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), longest), true
}
