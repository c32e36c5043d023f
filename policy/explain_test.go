// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

var (
	noon   = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	digest = "sha256:" + strings.Repeat("0", 64)
)

func at(offset time.Duration) *metav1.Time { return &metav1.Time{Time: noon.Add(offset)} }

func TestExplain(t *testing.T) {
	tests := map[string]struct {
		spec imagev1.ImagePolicySpec
		tags string
		want []Line
	}{
		"every tag has a rank or a reason": {
			spec: imagev1.ImagePolicySpec{Policy: bySemVer("1.x"), FilterTags: filterBy(`^v(.*)$`, "$1")},
			tags: "v1.0.0 v1.10.0 v2.0.0 vlatest 1.9.0 v1.9.0",
			want: []Line{
				{Tag: "v1.10.0", Text: "1.10.0", Rank: 1},
				{Tag: "v1.9.0", Text: "1.9.0", Rank: 2},
				{Tag: "v1.0.0", Text: "1.0.0", Rank: 3},
				{Tag: "v2.0.0", Text: "2.0.0", Gate: GateRule, Why: "outside the range"},
				{Tag: "vlatest", Text: "latest", Gate: GateRule, Why: "not a semantic version"},
				{Tag: "1.9.0", Gate: GateFilter, Why: "not matching spec.filterTags.pattern"},
			}},
		"a rejected tag says why and until when": {
			spec: imagev1.ImagePolicySpec{Policy: byNumber(""), Reject: []imagev1.Rejection{
				{Tag: "3", Reason: "leaks memory", Until: at(time.Hour)}, {Tag: "2"}, {Tag: "3", Reason: "again"},
			}},
			tags: "1 2 3 x",
			want: []Line{
				{Tag: "1", Text: "1", Rank: 1},
				{Tag: "2", Text: "2", Gate: GateRejectTag, Why: "rejected by spec.reject"},
				{Tag: "3", Text: "3", Gate: GateRejectTag, Why: "rejected by spec.reject: leaks memory (until 2026-11-01T13:00:00Z)"},
				{Tag: "x", Text: "x", Gate: GateRule, Why: "not a number"},
			}},
		"a rejection that has ended rejects nothing": {
			spec: imagev1.ImagePolicySpec{Policy: byNumber(""), Reject: []imagev1.Rejection{{Tag: "3", Until: at(0)}}},
			tags: "1 3",
			want: []Line{{Tag: "3", Text: "3", Rank: 1}, {Tag: "1", Text: "1", Rank: 2}}},
		"a tag that the rule drops anyway is not called rejected": {
			spec: imagev1.ImagePolicySpec{Policy: byNumber(""), Reject: []imagev1.Rejection{{Tag: "x"}}},
			tags: "x",
			want: []Line{{Tag: "x", Text: "x", Gate: GateRule, Why: "not a number"}}},
		"a pin passes over filter and rule": {
			spec: imagev1.ImagePolicySpec{Policy: bySemVer("1.x"), FilterTags: filterBy("^v", ""), Pin: &imagev1.Pin{Tag: "hotfix", Until: at(1)}},
			tags: "v1.0.0 hotfix",
			want: []Line{{Tag: "hotfix", Text: "hotfix", Rank: 1}, {Tag: "v1.0.0", Text: "v1.0.0", Gate: GatePin, Why: "not pinned"}}},
		"a pin does not pass over a rejection": {
			spec: imagev1.ImagePolicySpec{
				Policy: bySemVer("1.x"),
				Pin:    &imagev1.Pin{Tag: "2"},
				Reject: []imagev1.Rejection{{Tag: "2", Reason: "broken"}},
			},
			tags: "2",
			want: []Line{{Tag: "2", Text: "2", Gate: GateRejectTag, Why: "rejected by spec.reject: broken"}}},
		"a pin that has ended pins nothing": {
			spec: imagev1.ImagePolicySpec{Policy: byLetters(""), Pin: &imagev1.Pin{Tag: "a", Until: at(-1)}},
			tags: "a b",
			want: []Line{{Tag: "b", Text: "b", Rank: 1}, {Tag: "a", Text: "a", Rank: 2}}},
		"a tag listed twice has one line": {
			spec: imagev1.ImagePolicySpec{Policy: byNumber("")},
			tags: "1 x 1 x",
			want: []Line{{Tag: "1", Text: "1", Rank: 1}, {Tag: "x", Text: "x", Gate: GateRule, Why: "not a number"}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := CompileSpec(&tc.spec, noon)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, p.Explain(slices.Values(strings.Fields(tc.tags)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRankKeepsTheBest(t *testing.T) {
	p, err := Compile(byNumber(""), filterBy(`^[a-z]*(\d+)$`, "$1"))
	if err != nil {
		t.Fatal(err)
	}
	tags := strings.Fields("7 a7 1 9 3 9 b8 nine 2 6 5 4")
	for n, want := range map[int]string{0: "", 1: "9", 3: "9 b8 7", 4: "9 b8 7 a7", 99: "9 b8 7 a7 6 5 4 3 2 1"} {
		if got := strings.Join(tagsOf(p.Rank(slices.Values(tags), n)), " "); got != want {
			t.Errorf("best %d: got %s, want %s", n, got, want)
		}
	}
}

func TestUntilIsTheFirstEnd(t *testing.T) {
	spec := imagev1.ImagePolicySpec{Policy: byNumber(""), Pin: &imagev1.Pin{Tag: "1", Until: at(3 * time.Hour)}, Reject: []imagev1.Rejection{
		{Tag: "2", Until: at(-time.Hour)}, {Digest: digest, Until: at(time.Hour)}, {Tag: "4", Until: at(2 * time.Hour)},
	}}
	for offset, want := range map[time.Duration]time.Time{
		0: noon.Add(time.Hour), time.Hour: noon.Add(2 * time.Hour), 2 * time.Hour: noon.Add(3 * time.Hour), 3 * time.Hour: {},
	} {
		p, err := CompileSpec(&spec, noon.Add(offset))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Until(); !got.Equal(want) {
			t.Errorf("after %s: got %s, want %s", offset, got, want)
		}
	}
}

func TestCompileSpecRefuses(t *testing.T) {
	tests := map[string]struct {
		edit func(*imagev1.ImagePolicySpec)
		want string
	}{
		"a rejection of nothing": {
			func(s *imagev1.ImagePolicySpec) { s.Reject = []imagev1.Rejection{{Reason: "?"}} },
			"invalid policy: spec.reject[0] must set one of tag and digest"},
		"a rejection of two things": {
			func(s *imagev1.ImagePolicySpec) { s.Reject = []imagev1.Rejection{{Tag: "1", Digest: digest}} },
			"invalid policy: spec.reject[0] must set one of tag and digest"},
		"a digest that is none": {
			func(s *imagev1.ImagePolicySpec) { s.Reject = []imagev1.Rejection{{Tag: "1"}, {Digest: "sha256:0"}} },
			`invalid policy: spec.reject[1].digest "sha256:0" must be sha256: and 64 hex digits`},
		"a pin of nothing": {
			func(s *imagev1.ImagePolicySpec) { s.Pin = &imagev1.Pin{} }, "invalid policy: spec.pin.tag must be set"},
		"an age below zero": {
			func(s *imagev1.ImagePolicySpec) { s.MinAge = &metav1.Duration{Duration: -1} }, "invalid policy: spec.minAge must not be negative"},
		"a platform that is none": {
			func(s *imagev1.ImagePolicySpec) { s.Platform = "arm64" }, `invalid policy: spec.platform "arm64" must be os/arch or os/arch/variant`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			spec := imagev1.ImagePolicySpec{Policy: byNumber("")}
			tc.edit(&spec)
			if _, err := CompileSpec(&spec, noon); !errors.Is(err, ErrInvalid) || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}
