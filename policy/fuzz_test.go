package policy

import (
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// FuzzParseNumber compares with exact rational arithmetic.
func FuzzParseNumber(f *testing.F) {
	for _, s := range []string{"1", "-01.50", ".5", "5.", "1e3", "1E-3", "+7", "0", "-0", "100", "0.001", "", ".", "e", "inf", "1__0", "00.00e9"} {
		f.Add(s, "1")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, ok := parseNumber(a)
		y, ok2 := parseNumber(b)
		if !ok || !ok2 || max(x.point, y.point) > 2000 || min(x.point, y.point) < -2000 {
			return
		}
		exactX, ok := new(big.Rat).SetString(a)
		exactY, ok2 := new(big.Rat).SetString(b)
		if !ok || !ok2 {
			t.Fatalf("%q or %q is a number here and not to math/big", a, b)
		}
		if got, want := x.compare(y), exactX.Cmp(exactY); got != want {
			t.Errorf("%q against %q is %d, want %d", a, b, got, want)
		}
	})
}

// FuzzParseVersion compares with what Flux's parser documents: three dotted
// parts, read leniently.
func FuzzParseVersion(f *testing.F) {
	for _, s := range []string{"1.2.3", "v1.2.3", "1.2", "1.2-rc.3", "01.2.3", "1.2.3.4", "vv1.2.3", "1.2.3-rc.1+b.2", "v.1.2", "1.02.3-0a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseVersion(text)
		var want *semver.Version
		if len(strings.SplitN(text, ".", 3)) == 3 {
			want, _ = semver.NewVersion(text)
		}
		if (err == nil) != (want != nil) {
			t.Fatalf("%q: got %v, %v, want %v", text, got, err, want)
		}
		if want != nil && (got.Compare(want) != 0 || got.Metadata() != want.Metadata()) {
			t.Errorf("%q is %v, want %v", text, got, want)
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
