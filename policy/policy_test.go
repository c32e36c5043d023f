// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

func bySemVer(constraint string) imagev1.ImagePolicyChoice {
	return imagev1.ImagePolicyChoice{SemVer: &imagev1.SemVerPolicy{Range: constraint}}
}

func byLetters(order string) imagev1.ImagePolicyChoice {
	return imagev1.ImagePolicyChoice{Alphabetical: &imagev1.AlphabeticalPolicy{Order: order}}
}

func byNumber(order string) imagev1.ImagePolicyChoice {
	return imagev1.ImagePolicyChoice{Numerical: &imagev1.NumericalPolicy{Order: order}}
}

func filterBy(pattern, extract string) *imagev1.TagFilter {
	return &imagev1.TagFilter{Pattern: pattern, Extract: extract}
}

// selectAny runs the policy over the tags in several orders, and fails unless
// the choice is the same every time.
func selectAny(t *testing.T, p *Policy, tags []string) Decision {
	t.Helper()
	d := p.Select(slices.Values(tags))
	shuffled := slices.Clone(tags)
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if again := p.Select(slices.Values(shuffled)); again.Tag != d.Tag || again.Text != d.Text {
			t.Fatalf("chose %q of %q, but %q of %q", d.Tag, tags, again.Tag, shuffled)
		}
	}
	return d
}

func TestSelect(t *testing.T) {
	tests := map[string]struct {
		choice imagev1.ImagePolicyChoice
		filter *imagev1.TagFilter
		tags   string
		want   string
	}{
		"semver takes the highest version in the range": {
			choice: bySemVer("2.1.x"), tags: "2.1.0 2.1.9 2.1.10 2.2.0 1.9.9", want: "2.1.10"},
		"semver skips four parts, two parts, letters and other prefixes": {
			choice: bySemVer(">=0"), tags: "9.0.0.1 9.1 9.0.0z b9.0.0 latest 3.0.0", want: "3.0.0"},
		"semver sees a leading v as decoration, in the tag and in the range": {
			choice: bySemVer("v1.x"), tags: "v1.2.0 1.1.0 v2.0.0", want: "v1.2.0"},
		"semver reads leading zeros": {
			choice: bySemVer(">=2025.0.0"), tags: "2025.02.03 2025.1.9 v2025.02.10", want: "v2025.02.10"},
		"semver leaves prereleases out unless the range names one": {
			choice: bySemVer("^1.0"), tags: "1.0.0 1.1.0-rc.1", want: "1.0.0"},
		"semver takes prereleases when the range names one": {
			choice: bySemVer("^1.0-0"), tags: "1.0.0 1.1.0-rc.2 1.1.0-rc.10", want: "1.1.0-rc.10"},
		"semver decides equal versions by the last text": {
			choice: bySemVer("1.x"), tags: "1.0.0 v1.0.0 01.0.0", want: "v1.0.0"},
		"semver decides equal extracted versions by the last text": {
			choice: bySemVer("1.x"), filter: filterBy(`^(.*)_(\d)$`, "$1+$2"), tags: "1.0.0_1 1.0.0_2", want: "1.0.0_2"},
		"no tag in the range leaves no choice": {
			choice: bySemVer("3.x"), tags: "1.0.0 2.0.0"},
		"no tags leave no choice": {choice: byLetters("")},

		"alphabetical takes the last calendar version": {
			choice: byLetters(""), tags: "24.04 24.10 24.04.1 23.10", want: "24.10"},
		"alphabetical desc takes the first code name": {
			choice: byLetters("desc"), tags: "noble jammy plucky focal", want: "focal"},
		"alphabetical takes the latest RFC 3339 time": {
			choice: byLetters("asc"), tags: "2026-01-08T21-18-21Z 2025-12-31T23-59-59Z 2026-01-08T09-00-00Z", want: "2026-01-08T21-18-21Z"},
		"alphabetical order may be in capitals": {
			choice: byLetters("DESC"), tags: "b a c", want: "a"},
		"alphabetical is bytewise": {
			choice: byLetters("asc"), tags: "Z a 9", want: "a"},

		"numerical takes the highest integer": {
			choice: byNumber(""), tags: "9 10 -11 7", want: "10"},
		"numerical desc takes the lowest": {
			choice: byNumber("desc"), tags: "9 10 -11 7", want: "-11"},
		"numerical reads decimals": {
			choice: byNumber(""), tags: "53.4733 53.48 -60.1 5.9", want: "53.48"},
		"numerical desc reads negative decimals": {
			choice: byNumber("desc"), tags: "-90.29 -90.3 57.8", want: "-90.3"},
		"numerical reads exponents": {
			choice: byNumber(""), tags: "999 1e3 0.5e2", want: "1e3"},
		"numerical takes Unix times": {
			choice: byNumber("asc"), tags: "1767225600 1767312000 1767225599", want: "1767312000"},
		"numerical keeps neighbours beyond 2^53 apart": {
			choice: byNumber("asc"), tags: "20260101120000001 20260101120000003 20260101120000002", want: "20260101120000003"},
		"numerical compares numbers longer than any machine word": {
			choice: byNumber("asc"), tags: "99999999999999999999999999999998 99999999999999999999999999999999 123",
			want: "99999999999999999999999999999999"},
		"numerical skips what is no number": {
			choice: byNumber("asc"), tags: "latest 2 inf NaN 0x10 1a _1 1_ 1__0 1_.0 1._5 e_1", want: "2"},
		"numerical reads the numbers that Go does": {
			choice: byNumber("asc"), tags: "2 1_000 9_9.5e+0_1 0x1p4", want: "1_000"},
		"numerical reads dates with underscores": {
			choice: byNumber("asc"), tags: "2026_01_31 2026_02_01 2025_12_31 20260131", want: "2026_02_01"},
		"numerical decides equal numbers by the first text": {
			choice: byNumber("asc"), tags: "1 1.0 01", want: "01"},
		"numerical desc decides equal numbers by the first text too": {
			choice: byNumber("desc"), tags: "1 1.0 01", want: "01"},

		"a pattern without extract compares whole tags": {
			choice: byLetters(""), filter: filterBy(`^main-`, ""), tags: "main-a main-b release-c", want: "main-b"},
		"an empty pattern passes every tag": {
			choice: byLetters(""), filter: filterBy("", ""), tags: "a b", want: "b"},
		"extract compares a named group": {
			choice: byNumber(""), filter: filterBy(`^main-[a-f0-9]+-(?P<ts>[0-9]+)$`, "$ts"),
			tags: "main-ff-100 main-aa-200 main-bb-150 dev-cc-900 main-latest", want: "main-aa-200"},
		"extract may combine groups": {
			choice: bySemVer("1.x"), filter: filterBy(`^v(\d+)_(\d+)_(\d+)$`, "$1.${2}.$3"),
			tags: "v1_2_3 v1_10_0 v2_0_0", want: "v1_10_0"},
		"tags with equal extracts are decided by the first tag": {
			choice: byNumber(""), filter: filterBy(`-(\d+)$`, "$1"), tags: "c-7 a-7 b-7 z-6", want: "a-7"},
		"extract may take the whole match": {
			choice: byNumber(""), filter: filterBy(`\d+`, "$0"), tags: "1 2", want: "2"},
		"a group that took no part in the match is empty": {
			choice: byNumber(""), filter: filterBy(`^(?:a(\d+)|b(\d+))$`, "$1$2"), tags: "a1 b2", want: "b2"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := Compile(tc.choice, tc.filter)
			if err != nil {
				t.Fatal(err)
			}
			if got := selectAny(t, p, strings.Fields(tc.tags)); got.Tag != tc.want {
				t.Errorf("chose %q, want %q: %s", got.Tag, tc.want, got.Why())
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	const ranges = ": write a range such as 1.x, ~1.4 or >=1.0.0 <2.0.0"
	tests := map[string]struct {
		choice imagev1.ImagePolicyChoice
		filter *imagev1.TagFilter
		want   string
	}{
		"no rule": {want: "invalid policy: spec.policy must set one of semver, alphabetical, numerical"},
		"an unknown order": {choice: byNumber("up"),
			want: `invalid policy: spec.policy.numerical.order: unknown order "up", must be asc or desc`},
		"an unknown order of another type": {choice: byLetters("up"),
			want: `invalid policy: spec.policy.alphabetical.order: unknown order "up", must be asc or desc`},
		"a broken pattern": {
			choice: byLetters(""),
			filter: filterBy("(", ""),
			want:   "invalid policy: spec.filterTags.pattern \"(\": error parsing regexp: missing closing ): `(`",
		},
		"an empty range":       {choice: bySemVer(""), want: "invalid policy: spec.policy.semver.range: improper constraint: \"\"" + ranges},
		"a range of letters":   {choice: bySemVer("a"), want: "invalid policy: spec.policy.semver.range: improper constraint: \"a\"" + ranges},
		"a range that is typo": {choice: bySemVer("1x"), want: "invalid policy: spec.policy.semver.range: constraint parser error" + ranges},
		"two rules": {
			choice: imagev1.ImagePolicyChoice{SemVer: &imagev1.SemVerPolicy{Range: "1.x"}, Numerical: &imagev1.NumericalPolicy{}},
			want:   "invalid policy: spec.policy must set only one of semver, numerical"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(tc.choice, tc.filter)
			if !errors.Is(err, ErrInvalid) || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestRangesThatFluxAccepts(t *testing.T) {
	for _, constraint := range []string{"1.0.x", "^1.0", "=1.0.0", "~1.0", ">=1.0", ">0,<2.0", "*", "1.2 - 1.4", "^1 || ^3"} {
		if _, err := Compile(bySemVer(constraint), nil); err != nil {
			t.Errorf("%s: %v", constraint, err)
		}
	}
	for _, constraint := range []string{"1.0.0p", "x1", "-1", "*-*"} {
		if _, err := Compile(bySemVer(constraint), nil); err == nil {
			t.Errorf("%s was accepted", constraint)
		}
	}
}

func TestDecisionSaysWhy(t *testing.T) {
	tests := map[string]struct {
		choice      imagev1.ImagePolicyChoice
		filter      *imagev1.TagFilter
		tags        string
		want        string
		wantDropped []Drop
	}{
		"nothing was dropped": {
			choice: byLetters(""), tags: "a b",
			want: "first of 2 by alphabetical asc"},
		"some were dropped": {
			choice: bySemVer("1.x"), tags: "1.0.0 1.1.0 2.0.0 latest 3.0.0",
			want: "first of 2 by semver 1.x; 3 tags dropped: 1 not a semantic version (latest), 2 outside the range (2.0.0)",
			wantDropped: []Drop{
				{Gate: GateRule, Reason: "not a semantic version", Count: 1, Example: "latest"},
				{Gate: GateRule, Reason: "outside the range", Count: 2, Example: "2.0.0"},
			}},
		"prereleases of versions in the range were dropped": {
			choice: bySemVer(">=2.0.0"), tags: "1.9.0-rc.1 2.0.0-rc.1 2.1.0-rc.1",
			want: "none of 3 tags qualifies for semver >=2.0.0: 1 outside the range (1.9.0-rc.1), " +
				"2 left out as a prerelease: a range takes those only if it names one, as >=1.0.0-0 does (2.0.0-rc.1)",
			wantDropped: []Drop{
				{Gate: GateRule, Reason: "outside the range", Count: 1, Example: "1.9.0-rc.1"},
				{Gate: GateRule, Reason: reasons[prerelease], Count: 2, Example: "2.0.0-rc.1"},
			}},
		"a prerelease before the one that the range names": {
			choice: bySemVer(">=2.0.0-rc.2"), tags: "2.0.0-rc.1",
			want:        "the only tag does not qualify for semver >=2.0.0-rc.2: 1 outside the range (2.0.0-rc.1)",
			wantDropped: []Drop{{Gate: GateRule, Reason: "outside the range", Count: 1, Example: "2.0.0-rc.1"}}},
		"one was dropped": {
			choice: bySemVer("1.x"), tags: "1.0.0 latest",
			want:        "first of 1 by semver 1.x; 1 tag dropped: 1 not a semantic version (latest)",
			wantDropped: []Drop{{Gate: GateRule, Reason: "not a semantic version", Count: 1, Example: "latest"}}},
		"the only one was dropped": {
			choice: bySemVer("1.x"), tags: "latest",
			want:        "the only tag does not qualify for semver 1.x: 1 not a semantic version (latest)",
			wantDropped: []Drop{{Gate: GateRule, Reason: "not a semantic version", Count: 1, Example: "latest"}}},
		"all were dropped": {
			choice: byNumber(""), filter: filterBy("^m", ""), tags: "ma b c",
			want: "none of 3 tags qualifies for numerical asc: 2 not matching spec.filterTags.pattern (b), 1 not a number (ma)",
			wantDropped: []Drop{
				{Gate: GateFilter, Reason: "not matching spec.filterTags.pattern", Count: 2, Example: "b"},
				{Gate: GateRule, Reason: "not a number", Count: 1, Example: "ma"},
			}},
		"there were no tags": {
			choice: byLetters("desc"),
			want:   "there are no tags to choose from by alphabetical desc"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := Compile(tc.choice, tc.filter)
			if err != nil {
				t.Fatal(err)
			}
			d := p.Select(slices.Values(strings.Fields(tc.tags)))
			if diff := cmp.Diff(tc.want, d.Why()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tc.wantDropped, d.Dropped()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
