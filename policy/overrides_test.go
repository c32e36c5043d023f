// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/pattern"
)

func TestWhatPeopleDecidedIsTold(t *testing.T) {
	other := "sha256:" + strings.Repeat("1", 64)
	spec := imagev1.ImagePolicySpec{Policy: byNumber(""), Pin: &imagev1.Pin{Tag: "2"}, Reject: []imagev1.Rejection{
		{Digest: digest, Reason: "leaks"}, {Tag: "1", Reason: "old"}, {Digest: other, Until: at(-time.Hour)},
	}}
	p, err := CompileSpec(&spec, noon)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Pin(); got == nil || got.Tag != "2" || p.String() != "pin" {
		t.Errorf("the pin is %v, the rule %s", got, p)
	}
	if r, ok := p.RejectsDigest(digest); !ok || r.Reason != "leaks" || !p.RejectsDigests() {
		t.Errorf("the digest is rejected: %v, %v", r, ok)
	}
	if _, ok := p.RejectsDigest(other); ok {
		t.Error("a rejection that has ended rejects a digest")
	}
	if r, ok := p.RejectsTag("1"); !ok || r.Reason != "old" {
		t.Errorf("the tag is rejected: %v, %v", r, ok)
	}
	if _, ok := p.RejectsTag(digest); ok {
		t.Error("a digest is taken for a tag")
	}
	spec = imagev1.ImagePolicySpec{Policy: byNumber(""), Reject: []imagev1.Rejection{{Tag: "1"}}}
	if p, err = CompileSpec(&spec, noon); err != nil || p.RejectsDigests() || p.Pin() != nil {
		t.Errorf("without a digest or a pin: %v, %v, %v", p.RejectsDigests(), p.Pin(), err)
	}
}

func TestAPinChoosesOnceHoweverOftenItIsListed(t *testing.T) {
	p, err := CompileSpec(&imagev1.ImagePolicySpec{Policy: byNumber(""), Pin: &imagev1.Pin{Tag: "hotfix"}}, noon)
	if err != nil {
		t.Fatal(err)
	}
	tags := slices.Values([]string{"hotfix", "1", "hotfix"})
	if got := tagsOf(p.Rank(tags, 2)); !slices.Equal(got, []string{"hotfix"}) {
		t.Errorf("got %v", got)
	}
	if got, want := p.Select(tags).Why(), "first of 2 by pin; 1 tag dropped: 1 not pinned (1)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWhatALazyGateDropsIsCounted(t *testing.T) {
	for _, gate := range DeferredGates {
		d := Decision{Rule: "semver 1.x", Total: 3}
		d.Drop(gate, "1.2.0")
		d.Drop(gate, "1.1.0")
		got := d.Dropped()
		for i := range got {
			got[i].Reason = "" // the gate's own
		}
		if diff := cmp.Diff([]Drop{{Gate: gate, Count: 2, Example: "1.2.0"}}, got); diff != "" {
			t.Errorf("%s: %s", gate, diff)
		}
		if d.Qualified() != 1 {
			t.Errorf("%s: %d qualify", gate, d.Qualified())
		}
	}
}

func TestTheWorkOfAPattern(t *testing.T) {
	work := func(choice *imagev1.TagFilter, bytes int) (int64, error) {
		p, err := Compile(byNumber(""), choice)
		if err != nil {
			t.Fatal(err)
		}
		return p.Work(bytes)
	}
	if got, err := work(nil, 1000); got != 0 || err != nil {
		t.Errorf("without a filter: %d, %v", got, err)
	}
	if got, err := work(filterBy(`^v[0-9]+$`, ""), 1000); got != 1000 || err != nil {
		t.Errorf("what is matched fast is work for each byte once: %d, %v", got, err)
	}
	slow := filterBy(`(a|b){1,9}c`, "")
	size, err := pattern.Compile(slow.Pattern)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := work(slow, 1000); got != int64(size.Size)*1000 || size.Size < 2 || err != nil {
		t.Errorf("a pattern of %d: %d, %v", size.Size, got, err)
	}
	if got, err := work(slow, 1<<40); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "spec.filterTags.pattern") {
		t.Errorf("tags beyond all bounds: %d, %v", got, err)
	}
}

func TestWhatIsTooLongIsRefused(t *testing.T) {
	extract := "$0" + strings.Repeat("-", maxExtract-2)
	rangeOf := func(bytes int) string { return ">=1.0.0" + strings.Repeat(" ", bytes-7) }
	for name, tc := range map[string]struct {
		choice imagev1.ImagePolicyChoice
		filter *imagev1.TagFilter
		want   string
	}{
		"a template as long as may be": {byNumber(""), filterBy("a", extract), ""},
		"a template that is longer":    {byNumber(""), filterBy("a", extract+"x"), "spec.filterTags.extract has 257 bytes, and may have 256"},
		"a range as long as may be":    {bySemVer(rangeOf(512)), nil, ""},
		"a range that is longer":       {bySemVer(rangeOf(513)), nil, "spec.policy.semver.range: constraint string is too long (max 512 bytes)"},
		"an order that is none":        {byLetters("up"), nil, "spec.policy.alphabetical.order: unknown order"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(tc.choice, tc.filter)
			if tc.want == "" && err != nil || tc.want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}
