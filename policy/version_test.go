// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"
	"testing"
)

// TestPlainVersionsAreReadInOnePass holds the short way to what it is for: three numbers. Whatever it
// leaves is read by the long way, so that only the time would tell.
func TestPlainVersionsAreReadInOnePass(t *testing.T) {
	long := strings.Repeat("9", safeDigits)
	tests := map[string]struct {
		text string
		want version
		ok   bool
	}{
		"three numbers":                {"1.20.399", version{1, 20, 399, ""}, true},
		"a leading v":                  {"v1.2.3", version{1, 2, 3, ""}, true},
		"the smallest and the largest": {"0.9." + long, version{0, 9, 9999999999999999999, ""}, true},
		"one digit more is left":       {text: "0.9.1" + long},
		"two numbers are left":         {text: "1.2"},
		"a dot without a number":       {text: "1.2."},
		"no number before the dot":     {text: ".2.3"},
		"four numbers are left":        {text: "1.2.3.4"},
		"another separator":            {text: "1.2-3"},
		"a prerelease is left":         {text: "1.2.3-rc.1"},
		"a sign just above the digits": {text: "1.2.:"},
		"a sign just below the digits": {text: "1.2./"},
		"only a v":                     {text: "v"},
		"nothing":                      {text: ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got version
			if ok := plainVersion(tc.text, &got); ok != tc.ok || got != tc.want {
				t.Errorf("%s: got %v, %v", tc.text, got, ok)
			}
		})
	}
}

func TestVersionsThatFluxReadsAndThoseItDoesNot(t *testing.T) {
	for text, want := range map[string]bool{
		"1.2.3-" + strings.Repeat("a", maxVersion-6): true,
		"1.2.3-" + strings.Repeat("a", maxVersion-5): false,
		"18446744073709551615.0.0-a":                 true,
		"18446744073709551616.0.0-a":                 false,
		"1.2.3-azAZ09-":                              true,
		"1.2.3+azAZ09-":                              true,
		"1.2.3+a/b":                                  false, // one below 0
		"1.2.3+a:b":                                  false, // one above 9
		"1.2.3+a@b":                                  false,
		"1.2.3+a[b":                                  false,
		"1.2.3+a`b":                                  false,
		"1.2.3+a{b":                                  false,
		"1.2.3+":                                     false,
		"1.2.3-0":                                    true,
		"1.2.3-00":                                   false,
	} {
		if _, got := parseVersion(text); got != want || got != (fluxVersion(text) != nil) {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// TestPrereleasesAreOrderedAsInFlux lists versions from the lowest to the highest.
func TestPrereleasesAreOrderedAsInFlux(t *testing.T) {
	ordered := []string{
		"1.0.0-0", "1.0.0-9", "1.0.0-10", "1.0.0-18446744073709551615", "1.0.0-18446744073709551616", "1.0.0-9a", "1.0.0-a", "1.0.0-a.1",
		"1.0.0-a.1.0", "1.0.0-a.b", "1.0.0-a1", "1.0.0-b", "1.0.0", "1.0.1-0",
	}
	for i, low := range ordered {
		for j, high := range ordered {
			a, _ := parseVersion(low)
			b, _ := parseVersion(high)
			want := fluxVersion(low).Compare(fluxVersion(high))
			if got := a.compare(&b); got != want || (got < 0) != (i < j) {
				t.Errorf("%s against %s is %d, want %d", low, high, got, want)
			}
		}
	}
}
