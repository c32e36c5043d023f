// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
	"github.com/google/go-cmp/cmp"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// FuzzParseNumber compares with exact rational arithmetic.
func FuzzParseNumber(f *testing.F) {
	for _, s := range []string{
		"1", "-01.50", ".5", "5.", "1e3", "1E-3", "+7", "0", "-0", "100", "0.001", "", ".", "e", "inf", "1__0", "00.00e9",
		"1_0.5_0e1_0", "0x1p-2", "-0X_fp+1", "0x1", "0_1", "1e_1",
	} {
		f.Add(s, "1")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, ok := parseNumber(a)
		if value, err := strconv.ParseFloat(a, 64); err == nil && value != 0 && !math.IsInf(value, 0) && !math.IsNaN(value) && !ok {
			t.Fatalf("%q is a number to Flux", a)
		}
		y, ok2 := parseNumber(b)
		if !ok || !ok2 || max(x.point, y.point) > 2000 || min(x.point, y.point) < -2000 {
			return
		}
		exactX, ok := new(big.Rat).SetString(a)
		exactY, ok2 := new(big.Rat).SetString(b)
		if !ok || !ok2 {
			t.Fatalf("%q or %q is a number here and not to math/big", a, b)
		}
		if got, want := x.compare(&y), exactX.Cmp(exactY); got != want {
			t.Errorf("%q against %q is %d, want %d", a, b, got, want)
		}
	})
}

// FuzzParseVersion compares with what Flux's parser documents: three dotted
// parts, read leniently.
func FuzzParseVersion(f *testing.F) {
	for _, s := range []string{"1.2.3", "v1.2.3", "1.2", "1.2-rc.3", "01.2.3", "1.2.3.4", "vv1.2.3", "1.2.3-rc.1+b.2", "v.1.2", "1.02.3-0a",
		"1.2.3-", "1.2.3+", "1.2.3-01", "1.2.3-0.0", "18446744073709551615.0.0", "18446744073709551616.0.0", "1..2", "1.2.3-a..b", "1.2.-3"} {
		f.Add(s, "1.2.3-rc.10")
	}
	f.Fuzz(func(t *testing.T, text, other string) {
		got, ok := parseVersion(text)
		want := fluxVersion(text)
		if ok != (want != nil) {
			t.Fatalf("%q: got %v, %v, want %v", text, got, ok, want)
		}
		rival, ok2 := parseVersion(other)
		if !ok || !ok2 {
			return
		}
		if got, want := got.compare(&rival), want.Compare(fluxVersion(other)); got != want {
			t.Errorf("%q against %q is %d, want %d", text, other, got, want)
		}
	})
}

func fluxVersion(text string) *semver.Version {
	if len(strings.SplitN(text, ".", 3)) != 3 {
		return nil
	}
	v, err := semver.NewVersion(text)
	if err != nil {
		return nil
	}
	return v
}

// FuzzRanges compares with the library that Flux reads constraints with.
func FuzzRanges(f *testing.F) {
	for _, operator := range []string{"", "=", "!=", ">", "<", ">=", "=>", "<=", "=<", "~", "~>", "^"} {
		for _, bound := range []string{
			"*", "0", "1", "1.x", "1.2", "1.2.x", "1.2.3", "0.0.0", "0.0", "0.0.3", "0.2", "0.2.3", "v1.2.3-rc.1+b-c",
			"1-0", "1.2-0", "x-a",
		} {
			f.Add(operator+bound, "1.2.3")
		}
	}
	for _, s := range []string{"1.2 - 1.4", ">=1.0.0 <2.0.0-0 || ~3", "^1,!=1.2", "1.x.5", "x.1.2"} {
		f.Add(s, "1.2.4-rc.1")
	}
	f.Fuzz(func(t *testing.T, constraint, text string) {
		want, err := semver.NewConstraint(constraint)
		got, err2 := Compile(bySemVer(constraint), nil)
		if (err == nil) != (err2 == nil) {
			t.Fatalf("%q: got %v, want %v", constraint, err2, err)
		}
		if err != nil {
			return
		}
		for _, text := range []string{text, "0.0.0", "0.0.3", "0.0.4", "0.2.0", "0.2.4", "0.3.0", "1.0.0", "1.1.9", "1.2.0", "1.2.2",
			"1.2.3", "1.2.4", "1.3.0", "2.0.0", "3.0.1", "0.0.0-a", "1.0.0-0", "1.2.0-rc.1", "1.2.3-rc.1", "1.2.3-rc.2", "2.0.0-rc.1"} {
			v := fluxVersion(text)
			if v == nil {
				continue
			}
			if got, want := got.Select(slices.Values([]string{text})).Tag != "", want.Check(v); got != want {
				t.Errorf("%q contains %q: %v, want %v", constraint, text, got, want)
			}
		}
	})
}

// FuzzSelect holds every rule to a total order: the choice of a set of tags does
// not depend on their order, and is the winner of every pair with it.
func FuzzSelect(f *testing.F) {
	f.Add("1.0.0 v1.0.0 1.0.0-rc.1 2 02 latest", `^v?(.*)$`, "$1")
	f.Add("a-1 b-1 c-2 1e1 10 10.0", `(\d+)`, "$1")
	f.Add("1.0.0_1 1.0.0_2", `(.*)_(.*)`, "$1+$2")
	f.Fuzz(func(t *testing.T, list, pattern, extract string) {
		tags := strings.Fields(list)
		for _, choice := range []imagev1.ImagePolicyChoice{bySemVer(">=0-0"), byLetters(""), byLetters("desc"), byNumber(""), byNumber("desc")} {
			p, err := Compile(choice, filterBy(pattern, extract))
			if err != nil {
				return
			}
			d := p.Select(slices.Values(tags))
			if backward := p.Select(reversed(tags)); backward.Tag != d.Tag || backward.Text != d.Text {
				t.Fatalf("%s: %q forwards, %q backwards", p, d.Tag, backward.Tag)
			}
			if diff := cmp.Diff(sortedBySelect(p, tags), tagsOf(p.Rank(reversed(tags), 3))); diff != "" {
				t.Fatal(p, diff)
			}
			for _, rival := range tags {
				if d.Tag == "" {
					break
				}
				if pair := p.Select(slices.Values([]string{rival, d.Tag})); pair.Tag != d.Tag {
					t.Fatalf("%s: %q wins of all, but %q wins of the pair", p, d.Tag, pair.Tag)
				}
			}
		}
	})
}

func reversed(tags []string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, tag := range slices.Backward(tags) {
			if !yield(tag) {
				return
			}
		}
	}
}

// sortedBySelect takes the best tag away three times.
func sortedBySelect(p *Policy, tags []string) []string {
	var best []string
	left := slices.Clone(tags)
	for range 3 {
		first := p.Select(slices.Values(left)).Tag
		if first == "" {
			break
		}
		best = append(best, first)
		left = slices.DeleteFunc(left, func(tag string) bool { return tag == first })
	}
	return best
}

func tagsOf(best []Ranked) []string {
	var tags []string
	for _, r := range best {
		tags = append(tags, r.Tag)
	}
	return tags
}

// FuzzCut compares the short ways through a filter with the long one.
func FuzzCut(f *testing.F) {
	f.Add(`^v?(?P<a>\d{1,3})\.(?P<b>\d+)(?P<c>-rc)$`, "v12.3-rc", "$b")
	f.Add(`^v?(\d+)\.x?()$`, "v12.", "$2")
	f.Add(`^()[^-]+-(?i:K)s$`, "a\u212a-Ks", "$1")
	f.Add(`^(?P<2>a+)b$`, "aab", "$2")
	f.Add(`^[a-z]+$`, "abc", "")
	f.Add(`^[a-z]{2,}b?$`, "abc", "")
	f.Add(`^.{3}-(.*?)$`, "\u00e4aa-1", "$1")
	f.Add(`^main-[a-f0-9]+-(?P<ts>[0-9]+)$`, "main-ff-12", "$ts")
	f.Add(`^main-(?P<version>.*)$`, "main-1.2.3", "${version}")
	f.Add(`^a(.+)b$`, "ab", "$1")
	f.Add(`^a(.*)b$`, "a\nb", "$1")
	f.Add(`^(.+?)b$`, "bbb", "$1")
	f.Add(`^v?(\d+)(?:-rc)?$`, "v12-rc", "$1")
	f.Add(`^a*(a*)a$`, "aaa", "$1")
	f.Add(`^a*?(a*?)a?$`, "aaa", "$1")
	f.Add(`^(a|ab)(?:c|bcd)$`, "abcd", "$1")
	f.Add(`(?i)^A(b)C$`, "aBc", "${1}")
	f.Add(`^(?i)A(b)(?-i)C$`, "aBC", "$1")
	f.Add(`^a\b(.*)$`, "a-1", "$1")
	f.Add(`(?s)^.(.*)$`, "a\n1", "$1")
	f.Add(`(?U)^a+(a+)a*$`, "aaaa", "$1")
	f.Add(`(?m)^a(.*)$`, "ab\nac", "$1")
	f.Add(`^(?P<n>\xff?)$`, "\xff", "$n")
	f.Fuzz(func(t *testing.T, pattern, tag, extract string) {
		short, err := compileFilter(filterBy(pattern, extract))
		if err != nil {
			return
		}
		long := &filter{pattern: short.pattern, extract: extract}
		want, wantOK := long.text(tag)
		got, ok := short.text(tag)
		if ok != wantOK || ok && got != want {
			t.Errorf("%q of %q by %q: got %q, %v, want %q, %v", extract, tag, pattern, got, ok, want, wantOK)
		}
	})
}

func TestTheUsualFiltersAreMatchedFast(t *testing.T) {
	for pattern, extract := range map[string]string{
		`^main-[a-f0-9]+-(?P<ts>[0-9]+)$`: "$ts",
		`^main-(?P<version>.*)$`:          "${version}",
		`^v(.*)$`:                         "$1",
	} {
		f, err := compileFilter(filterBy(pattern, extract))
		if err != nil || f.fast == nil {
			t.Errorf("%s takes the long way: %v", pattern, err)
		}
	}
}
