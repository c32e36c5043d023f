// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"math"
	"strings"
)

// version is a semantic version without its build metadata, which does not count
// when versions are compared. pre is a slice of the parsed text: parsing copies
// nothing, which is what makes a hundred thousand tags cheap.
type version struct {
	major, minor, patch uint64
	pre                 string
}

// maxVersion bounds a text, as the library that Flux reads versions with does.
const maxVersion = 256

// parseVersion reads a version as Flux does: three parts separated by dots, with
// a leading v and leading zeros allowed (v2025.02.03-rc.1). The dots may be
// anywhere, even in the prerelease: 1.2-rc.3 is read as 1.2.0-rc.3.
func parseVersion(text string) (v version, ok bool) {
	if plainVersion(text, &v) {
		return v, true
	}
	return wholeVersion(text)
}

// wholeVersion reads any version, and takes its time.
func wholeVersion(text string) (version, bool) {
	if len(text) > maxVersion || strings.Count(text, ".") < 2 {
		return version{}, false
	}
	var v version
	rest := strings.TrimPrefix(text, "v")
	var ok bool
	if v.major, rest, ok = leadingNumber(rest); !ok {
		return version{}, false
	}
	for _, part := range []*uint64{&v.minor, &v.patch} {
		if !strings.HasPrefix(rest, ".") {
			break
		}
		if *part, rest, ok = leadingNumber(rest[1:]); !ok {
			return version{}, false
		}
	}
	rest, metadata, hasMetadata := strings.Cut(rest, "+")
	if hasMetadata && !identifiers(metadata, anyIdentifier) {
		return version{}, false
	}
	if rest == "" {
		return v, true
	}
	v.pre = rest[1:]
	return v, rest[0] == '-' && identifiers(v.pre, preIdentifier)
}

// plainVersion reads what most versions are, three numbers of a few digits with
// perhaps a v before them, in one pass. Of everything else it knows nothing, and
// leaves what is there as it was.
func plainVersion(text string, into *version) bool {
	i := 0
	if len(text) > 0 && text[0] == 'v' {
		i = 1
	}
	var parts [3]uint64
	for part := range parts {
		start, n := i, uint64(0)
		for ; i < len(text) && text[i]-'0' <= 9; i++ {
			n = n*10 + uint64(text[i]-'0')
		}
		if digits := i - start; digits == 0 || digits > safeDigits {
			return false
		}
		parts[part] = n
		if part < 2 {
			if i == len(text) || text[i] != '.' {
				return false
			}
			i++
		}
	}
	if i < len(text) {
		return false
	}
	*into = version{major: parts[0], minor: parts[1], patch: parts[2]}
	return true
}

// safeDigits is how many digits are always a machine word.
const safeDigits = 19

// leadingNumber reads the digits that s starts with.
func leadingNumber(s string) (n uint64, rest string, ok bool) {
	i := 0
	for ; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
		digit := uint64(s[i] - '0')
		if n > (math.MaxUint64-digit)/10 {
			return 0, s, false
		}
		n = n*10 + digit
	}
	return n, s[i:], i > 0
}

// identifiers reports whether s is a list of identifiers with dots between them.
func identifiers(s string, valid func(string) bool) bool {
	for more := true; more; {
		var one string
		one, s, more = strings.Cut(s, ".")
		if one == "" || !valid(one) {
			return false
		}
	}
	return true
}

func anyIdentifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return true
}

// preIdentifier allows no leading zero in a number: 1.0.0-01 is not a version.
func preIdentifier(s string) bool {
	return anyIdentifier(s) && (s == "0" || s[0] != '0' || !onlyDigits(s))
}

// compare orders versions by the rules of semver.org.
func (v *version) compare(w *version) int {
	if order := v.compareParts(w, 3); order != 0 {
		return order
	}
	switch {
	case v.pre == w.pre:
		return 0
	case v.pre == "":
		return 1
	case w.pre == "":
		return -1
	}
	return comparePre(v.pre, w.pre)
}

// compareParts compares the first n of major, minor and patch.
func (v *version) compareParts(w *version, n int) int {
	order := cmp.Compare(v.major, w.major)
	if order == 0 && n > 1 {
		order = cmp.Compare(v.minor, w.minor)
	}
	if order == 0 && n > 2 {
		order = cmp.Compare(v.patch, w.patch)
	}
	return order
}

// comparePre compares identifier by identifier; of two lists of which one starts
// with the other, the longer is higher.
func comparePre(a, b string) int {
	for a != "" && b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		if order := compareIdentifiers(x, y); order != 0 {
			return order
		}
	}
	return cmp.Compare(len(a), len(b))
}

// compareIdentifiers compares numbers as numbers, which are lower than words. A
// number that no machine word holds is a word, as in the library.
func compareIdentifiers(x, y string) int {
	a, aRest, aOK := leadingNumber(x)
	b, bRest, bOK := leadingNumber(y)
	switch aOK, bOK = aOK && aRest == "", bOK && bRest == ""; {
	case aOK && bOK:
		return cmp.Compare(a, b)
	case aOK:
		return -1
	case bOK:
		return 1
	}
	return strings.Compare(x, y)
}
