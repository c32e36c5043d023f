// SPDX-License-Identifier: Apache-2.0

package shorten_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sluice-cd/sluice/internal/shorten"
)

func TestRunes(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		most int
		mark string
		want string
	}{
		"a text that fits stays":                               {"äöü", 3, shorten.Dots, "äöü"},
		"one that has a character too many ends with the mark": {"äöüß", 3, shorten.Ellipsis, "äö…"},
		"the mark counts":                                      {"a long text", 9, shorten.Dots, "a long..."},
		"only the mark has room":                               {"äöüß", 3, shorten.Dots, "..."},
		"the mark has no room":                                 {"äöüß", 2, shorten.Dots, "äö"},
		"there is no mark":                                     {"äöüß", 2, "", "äö"},
		"nothing has room":                                     {"äöüß", 0, shorten.Dots, ""},
		"less than nothing has room":                           {"ä", -1, shorten.Dots, ""},
		"an empty text":                                        {"", 0, shorten.Dots, ""},
		"bytes that are no characters count":                   {"\xff\xfe\xfd", 2, shorten.Ellipsis, "\xff…"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := shorten.Runes(tc.text, tc.most, tc.mark); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestBytes(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		most int
		mark string
		want string
	}{
		"a text that fits stays":               {"äöü", 6, shorten.Dots, "äöü"},
		"a character that ends at the limit":   {"äöüß", 7, shorten.Dots, "äö..."},
		"one that would be cut in two is left": {"äöüß", 6, shorten.Dots, "ä..."},
		"one of four bytes":                    {"a😀😀", 8, shorten.Dots, "a😀..."},
		"only the mark has room":               {"äöüß", 4, shorten.Dots, "..."},
		"exactly the mark has room":            {"äöüß", 3, shorten.Dots, "..."},
		"the mark has no room":                 {"äöüß", 2, shorten.Dots, "ä"},
		"there is no mark":                     {"äöüß", 3, "", "ä"},
		"nothing has room":                     {"äöüß", 0, shorten.Dots, ""},
		"less than nothing has room":           {"ä", -1, "", ""},
		"bytes that begin no character":        {"\x80\x80\x80", 2, "", ""},
		"an empty text":                        {"", 0, shorten.Dots, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := shorten.Bytes(tc.text, tc.most, tc.mark); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestCommit(t *testing.T) {
	for hash, want := range map[string]string{"0123456789": "0123456", "0123456": "0123456", "012": "012", "": ""} {
		if got := shorten.Commit(hash); got != want {
			t.Errorf("%q becomes %q, want %q", hash, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "30s": 30 * time.Second, "1m": time.Minute, "10m": 10 * time.Minute, "1m30s": 90 * time.Second, "1h": time.Hour,
		"24h": 24 * time.Hour, "1h30m": 90 * time.Minute, "1h0m10s": time.Hour + 10*time.Second, "1.5s": 1500 * time.Millisecond,
		"500ms": 500 * time.Millisecond, "-1m": -time.Minute,
	} {
		got := shorten.Duration(d)
		if got != want {
			t.Errorf("%s is written %s, want %s", d, got, want)
		}
		if again, err := time.ParseDuration(got); err != nil || again != d {
			t.Errorf("%s is read as %s, %v", got, again, err)
		}
	}
}

func FuzzShorten(f *testing.F) {
	f.Add("äöüß", 5, shorten.Dots)
	f.Add("\xe4\xb8", 1, shorten.Ellipsis)
	f.Fuzz(func(t *testing.T, text string, most int, mark string) {
		for unit, one := range map[string]struct {
			got  string
			long func(string) int
		}{
			"characters": {shorten.Runes(text, most, mark), utf8.RuneCountInString},
			"bytes":      {shorten.Bytes(text, most, mark), func(s string) int { return len(s) }},
		} {
			if utf8.ValidString(mark) && one.long(one.got) > max(most, 0) {
				t.Errorf("%q has more than %d %s", one.got, most, unit)
			}
			if one.long(text) <= most && one.got != text {
				t.Errorf("%q becomes %q at %d %s", text, one.got, most, unit)
			}
			if begin := strings.TrimSuffix(one.got, mark); !strings.HasPrefix(text, begin) && !strings.HasPrefix(text, one.got) {
				t.Errorf("%q does not begin as %q", one.got, text)
			}
			if utf8.ValidString(text) && utf8.ValidString(mark) && !utf8.ValidString(one.got) {
				t.Errorf("%q is not valid", one.got)
			}
		}
	})
}
