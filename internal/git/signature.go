// SPDX-License-Identifier: Apache-2.0

package git

import (
	"fmt"
	"strings"
	"unicode"
)

// maxSignature bounds a name, and an address, in bytes.
const maxSignature = 1000

// CheckName says why a text cannot be the name of who made a commit, "" if it can. A
// commit says "name <address> time" in one line, where Git itself leaves out what would
// end the name or the line. No name at all is one.
func CheckName(name string) string {
	switch {
	case len(name) > maxSignature:
		return fmt.Sprintf("has more than %d bytes", maxSignature)
	case strings.ContainsAny(name, "<>"):
		return "has < or >, which Git puts around the address"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "has a line break or another control character"
	}
	return ""
}

// CheckEmail says why a text cannot be the address of who made a commit, "" if it can.
// Much is in use that RFC 5322 does not allow, such as the brackets of
// 1+bot[bot]@users.noreply.github.com, hosts of one word, and no address at all.
func CheckEmail(email string) string {
	if email == "" {
		return ""
	}
	if why := CheckName(email); why != "" {
		return why
	}
	at := strings.LastIndexByte(email, '@')
	if at <= 0 || at == len(email)-1 || strings.ContainsFunc(email, unicode.IsSpace) {
		return "is no address such as bot@example.com"
	}
	return ""
}
