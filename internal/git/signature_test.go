// SPDX-License-Identifier: Apache-2.0

package git

import (
	"strings"
	"testing"
)

func TestAddressesThatWereCommittedAsTheyWere(t *testing.T) {
	for _, good := range []string{
		"", "bot@example.com", "bot@localhost", "1+bot[bot]@users.noreply.github.com", "o'neil@example.com", "a.@example.com",
		"\u00fcser@b\u00fccher.example", "first.last+tag@sub.example.co.uk", "bot@[192.0.2.1]", "a@b@example.com",
	} {
		if why := CheckEmail(good); why != "" {
			t.Errorf("%q %s", good, why)
		}
	}
	for _, bad := range []string{
		"not a mail", "bot", "@example.com", "bot@", "Bot <bot@example.com>", "bot@example.com\n", "bot@example.com\nparent 0000",
		"bot@exam ple.com", " bot@example.com", "bot@example.com\x00", "bot@example.com>", strings.Repeat("a", maxSignature) + "@example.com",
	} {
		if CheckEmail(bad) == "" {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestNamesThatBreakACommit(t *testing.T) {
	for _, good := range []string{"", "Flux Bot", "\u00c9milie O'Neil, Jr.", "bot[bot]", "a@b"} {
		if why := CheckName(good); why != "" {
			t.Errorf("%q %s", good, why)
		}
	}
	for _, bad := range []string{"Bot <bot@example.com>", "a<", ">", "a\nb", "a\rb", "a\x00b", "a\tb", strings.Repeat("a", maxSignature+1)} {
		if CheckName(bad) == "" {
			t.Errorf("%q is taken", bad)
		}
	}
}
