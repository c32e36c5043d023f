// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"net/http"
	"testing"
	"time"
)

var clockSays = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestRetryAfter(t *testing.T) {
	at := func(t time.Time, layout string) string { return t.UTC().Format(layout) }
	for name, tc := range map[string]struct {
		header string
		want   time.Duration
		none   bool
	}{
		"nothing":                          {header: "", none: true},
		"blanks":                           {header: "  ", none: true},
		"nonsense":                         {header: "soon", none: true},
		"seconds":                          {header: "30", want: 30 * time.Second},
		"seconds between blanks":           {header: " 30 ", want: 30 * time.Second},
		"zeros in front":                   {header: "007", want: 7 * time.Second},
		"at once":                          {header: "0", want: 0},
		"less than none are no seconds":    {header: "-5", none: true},
		"a sign is no digit":               {header: "+5", none: true},
		"parts of a second are no seconds": {header: "1.5", none: true},
		"the longest":                      {header: "3600", want: time.Hour},
		"more than the longest":            {header: "3601", want: time.Hour},
		"more than fits a duration":        {header: "99999999999", want: time.Hour},
		"more than fits a word":            {header: "99999999999999999999", want: time.Hour},
		"a date":                           {header: at(clockSays.Add(time.Minute), http.TimeFormat), want: time.Minute},
		"a date of RFC 850":                {header: "Friday, 02-Jan-26 03:05:05 GMT", want: time.Minute},
		"a date of asctime":                {header: "Fri Jan  2 03:05:05 2026", want: time.Minute},
		"a date in the past":               {header: at(clockSays.Add(-time.Hour), http.TimeFormat), want: 0},
		"a date that is too far":           {header: at(clockSays.Add(48*time.Hour), http.TimeFormat), want: time.Hour},
		"a date in the year 9999":          {header: "Fri, 31 Dec 9999 23:59:59 GMT", want: time.Hour},
		"a date of another standard":       {header: at(clockSays, time.RFC3339), none: true},
		"a date without a day of the week": {header: "02 Jan 2026 03:05:05 GMT", none: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := RetryAfter(http.Header{"Retry-After": {tc.header}}, clockSays, time.Hour)
			if got != tc.want || ok == tc.none {
				t.Errorf("got %s, %v; want %s, %v", got, ok, tc.want, !tc.none)
			}
		})
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, text := range []string{"", "1", "-1", "99999999999999999999", "Fri, 02 Jan 2026 03:05:05 GMT", "Sun, 06 Nov 0000 00:00:00 GMT"} {
		f.Add(text, int64(time.Minute))
	}
	f.Fuzz(func(t *testing.T, text string, longest int64) {
		most := time.Duration(max(longest, 0))
		got, ok := RetryAfter(http.Header{"Retry-After": {text}}, clockSays, most)
		if got < 0 || got > most || !ok && got != 0 {
			t.Errorf("%q is %s (%v), which is not within %s", text, got, ok, most)
		}
	})
}
