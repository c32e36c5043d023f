// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// ranges are the alternatives of a constraint, one of which must hold: 1.x || 3.x.
//
// The library that Flux uses says what a constraint means, and parses it. Its own
// check of a version is not used, for it composes an error for every version that
// is not in the range, which is nearly all of them; a fuzz test holds the two to
// the same answers.
type ranges []group

// group holds when all its bounds do.
type group struct {
	bounds []bound
	// pre: prereleases take part, because one of the bounds names one.
	pre bool
}

// bound compares with one version, of which only the first parts may be given.
type bound struct {
	version version
	// parts is the number of parts that were: 2 for 1.2 and 1.2.x, 0 for *.
	parts int
	// allows is the bound's operator.
	allows func(*bound, *version) bool
}

// operators follow the library, some surprises included: ^* is 0.0.0, !=* is all
// but that.
var operators = map[string]func(*bound, *version) bool{
	"": (*bound).equal, "=": (*bound).equal, "!=": (*bound).differs,
	">": (*bound).above, ">=": (*bound).from, "=>": (*bound).from,
	"<": (*bound).below, "<=": (*bound).upTo, "=<": (*bound).upTo,
	"~": (*bound).tilde, "~>": (*bound).tilde, "^": (*bound).caret,
}

func (r ranges) contain(v *version) bool {
	for i := range r {
		if r[i].contains(v) {
			return true
		}
	}
	return false
}

// leavesOut reports whether a prerelease is not in the ranges only because it is one: the
// version that it comes before is, in a range that names no prerelease.
func (r ranges) leavesOut(v *version) bool {
	if v.pre == "" {
		return false
	}
	release := *v
	release.pre = ""
	for i := range r {
		if !r[i].pre && r[i].contains(&release) {
			return true
		}
	}
	return false
}

func (g *group) contains(v *version) bool {
	if v.pre != "" && !g.pre {
		return false
	}
	for i := range g.bounds {
		if b := &g.bounds[i]; !b.allows(b, v) {
			return false
		}
	}
	return true
}

func (b *bound) equal(v *version) bool {
	if b.parts == 3 {
		return v.compare(&b.version) == 0
	}
	return b.tilde(v)
}

func (b *bound) differs(v *version) bool {
	switch b.parts {
	case 1:
		return v.major != b.version.major
	case 2:
		return v.compareParts(&b.version, 2) != 0 || v.pre != b.version.pre
	}
	return v.compare(&b.version) != 0
}

func (b *bound) above(v *version) bool {
	if b.parts == 1 || b.parts == 2 {
		return v.compareParts(&b.version, b.parts) > 0
	}
	return v.compare(&b.version) > 0
}

func (b *bound) from(v *version) bool { return v.compare(&b.version) >= 0 }

func (b *bound) below(v *version) bool { return v.compare(&b.version) < 0 }

func (b *bound) upTo(v *version) bool {
	if b.parts == 3 {
		return v.compare(&b.version) <= 0
	}
	return v.compareParts(&b.version, b.series()) <= 0
}

// tilde holds for the same minor series, or major if nothing else was given, and
// for all versions from 0.0.0 on.
func (b *bound) tilde(v *version) bool {
	open := (b.parts == 0 || b.parts == 3) && b.version.compareParts(&version{}, 3) == 0
	return b.from(v) && (open || v.compareParts(&b.version, b.series()) == 0)
}

// caret holds for what is compatible, as semver.org means it.
func (b *bound) caret(v *version) bool {
	return b.from(v) && v.compareParts(&b.version, b.compatible()) == 0
}

// series is the number of parts that name a series: 1 for 1.x, otherwise 2.
func (b *bound) series() int {
	if b.parts == 1 {
		return 1
	}
	return 2
}

// compatible is the number of parts that compatible versions have in common: up
// to the first that is not zero.
func (b *bound) compatible() int {
	switch {
	case b.version.major > 0 || b.parts == 1:
		return 1
	case b.version.minor > 0 || b.parts == 2:
		return 2
	}
	return 3
}

// parseRanges takes the bounds from what the library has parsed, which it prints
// as operators and versions with a space between them, and || between groups.
func parseRanges(checked *semver.Constraints) (ranges, error) {
	var r ranges
	for alternative := range strings.SplitSeq(checked.String(), "||") {
		var g group
		for text := range strings.FieldsSeq(alternative) {
			b, err := parseBound(text)
			if err != nil {
				return nil, err
			}
			g.bounds, g.pre = append(g.bounds, b), g.pre || b.version.pre != ""
		}
		r = append(r, g)
	}
	return r, nil
}

func parseBound(text string) (bound, error) {
	at := strings.IndexFunc(text, func(c rune) bool { return !strings.ContainsRune("=!<>~^", c) })
	if at < 0 {
		return bound{}, fmt.Errorf("improper constraint: %q", text)
	}
	b := bound{allows: operators[text[:at]]}
	if b.allows == nil {
		return bound{}, fmt.Errorf("improper constraint: %q: unknown operator", text)
	}
	numbers, _, _ := strings.Cut(strings.TrimPrefix(text[at:], "v"), "+")
	numbers, pre, _ := strings.Cut(numbers, "-")
	parts := strings.Split(numbers, ".")
	for b.parts < min(len(parts), 3) && !strings.Contains("x X *", parts[b.parts]) {
		b.parts++
	}
	full := append(parts[:b.parts:b.parts], "0", "0", "0")[:3]
	exact := strings.Join(full, ".")
	if pre != "" {
		exact += "-" + pre
	}
	var ok bool
	if b.version, ok = parseVersion(exact); !ok {
		return bound{}, fmt.Errorf("improper constraint: %q", text)
	}
	return b, nil
}
