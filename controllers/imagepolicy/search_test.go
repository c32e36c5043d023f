// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/policy"
)

var leaky = "sha256:" + strings.Repeat("0a", 32)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// known are facts that a test states. A tag's digest is "sha256:" and the tag unless
// said otherwise.
type known struct {
	digests    map[string]string
	platforms  map[string][]string
	unread     int // of every index
	signatures map[string]signatureResult
	seen       map[string]time.Time // by tag, and by tag@digest
	fails      map[string]error     // by tag or digest
	asked      []string
}

func (k *known) answer(what string) error {
	k.asked = append(k.asked, what)
	return k.fails[what]
}

func (k *known) Digest(_ context.Context, tag string) (string, error) {
	if digest, ok := k.digests[tag]; ok {
		return digest, k.answer(tag)
	}
	return "sha256:" + tag, k.answer(tag)
}

func (k *known) Platforms(_ context.Context, digest string) (registry.Platforms, error) {
	return registry.Platforms{Known: k.platforms[digest], Unread: k.unread}, k.answer(digest)
}

func (k *known) Signature(_ context.Context, digest string) (signatureResult, error) {
	return k.signatures[digest], k.answer(digest)
}

func (k *known) FirstSeen(tag string) (time.Time, bool) {
	at, ok := k.seen[tag]
	return at, ok
}

func (k *known) FirstSeenWith(tag, digest string) time.Time {
	if at, ok := k.seen[tag+"@"+digest]; ok {
		return at
	}
	return noon
}

// inputsOf are those of a policy with a spec, and a last choice of 1.0 at sha256:old.
func inputsOf(t *testing.T, spec imagev1.ImagePolicySpec) *inputs {
	t.Helper()
	spec.Policy = imagev1.ImagePolicyChoice{SemVer: &imagev1.SemVerPolicy{Range: "*"}}
	p := &imagev1.ImagePolicy{Spec: spec}
	p.Status.LatestRef = &imagev1.ImageRef{Name: "example.com/app", Tag: "1.0", Digest: "sha256:old"}
	compiled, err := policy.CompileSpec(&p.Spec, noon)
	if err != nil {
		t.Fatal(err)
	}
	repo := &imagev1.ImageRepository{}
	repo.Spec.Image = "example.com/app"
	return &inputs{policy: p, compiled: compiled, repo: repo, now: noon}
}

func hours(n int) *metav1.Duration { return &metav1.Duration{Duration: time.Duration(n) * time.Hour} }

func TestGates(t *testing.T) {
	aged := imagev1.ImagePolicySpec{MinAge: hours(1)}
	missing := signatureResult{known: true, missing: "no signature", until: noon.Add(time.Minute)}
	tests := map[string]struct {
		spec  imagev1.ImagePolicySpec
		facts known
		tag   string
		want  checkedCandidate
		until time.Time // when something else may be said
	}{
		"without gates no digest is looked up": {
			tag: "2.0", facts: known{fails: map[string]error{"2.0": errors.New("asked")}},
			want: checkedCandidate{candidate: candidate{tag: "2.0"}}},
		"a tag that is gone is dropped": {
			spec: imagev1.ImagePolicySpec{Platform: "linux/amd64"}, tag: "2.0",
			facts: known{fails: map[string]error{"2.0": registry.ErrNotFound}},
			want: checkedCandidate{candidate: candidate{tag: "2.0", digest: "sha256:2.0"},
				dropped: "gone from the registry", gate: policy.GateFound}},
		"a tag that is old enough passes": {
			spec: aged, tag: "2.0", facts: known{seen: map[string]time.Time{"2.0@sha256:2.0": noon.Add(-time.Hour)}},
			want: checkedCandidate{candidate: candidate{tag: "2.0", digest: "sha256:2.0", firstSeen: noon.Add(-time.Hour)}}},
		"a tag that is a second too young is dropped": {
			spec: aged, tag: "2.0", facts: known{seen: map[string]time.Time{"2.0@sha256:2.0": noon.Add(-time.Hour + time.Second)}},
			want: checkedCandidate{candidate: candidate{tag: "2.0", digest: "sha256:2.0", firstSeen: noon.Add(-time.Hour + time.Second)},
				dropped: "younger than 1h, old enough at 2026-01-02T12:00:01Z", gate: policy.GateMinAge},
			until: noon.Add(time.Second)},
		"a young tag whose digest was looked up before is not looked up again": {
			spec: aged, tag: "2.0", facts: known{seen: map[string]time.Time{"2.0": noon}, fails: map[string]error{"2.0": errors.New("asked")}},
			want: checkedCandidate{candidate: candidate{tag: "2.0", firstSeen: noon},
				dropped: "younger than 1h, old enough at 2026-01-02T13:00:00Z", gate: policy.GateMinAge},
			until: noon.Add(time.Hour)},
		"a moved tag stays at the digest of the last choice": {
			spec: aged, tag: "1.0", facts: known{seen: map[string]time.Time{"1.0@sha256:old": noon.Add(-2 * time.Hour)}},
			want:  checkedCandidate{candidate: candidate{tag: "1.0", digest: "sha256:old", digestKept: true, firstSeen: noon.Add(-2 * time.Hour)}},
			until: noon.Add(time.Hour)},
		"a pin has no minimum age": {
			spec: imagev1.ImagePolicySpec{MinAge: hours(1), Pin: &imagev1.Pin{Tag: "2.0"}}, tag: "2.0",
			want: checkedCandidate{candidate: candidate{tag: "2.0"}}},
		"an image for the platform passes": {
			spec: imagev1.ImagePolicySpec{Platform: "linux/arm64"}, tag: "2.0",
			facts: known{platforms: map[string][]string{"sha256:2.0": {"linux/amd64", "linux/arm64"}}},
			want:  checkedCandidate{candidate: candidate{tag: "2.0", digest: "sha256:2.0"}}},
		"an image for other platforms is dropped": {
			spec: imagev1.ImagePolicySpec{Platform: "linux/arm64"}, tag: "2.0",
			facts: known{platforms: map[string][]string{"sha256:2.0": {"linux/amd64"}}},
			want: checkedCandidate{candidate: candidate{tag: "2.0", digest: "sha256:2.0"},
				dropped: "made for linux/amd64 only", gate: policy.GatePlatform}},
		"an image for no platform is dropped": {
			spec: imagev1.ImagePolicySpec{Platform: "linux/arm64"}, tag: "2.0",
			want: checkedCandidate{candidate: candidate{tag: "2.0", digest: "sha256:2.0"},
				dropped: "made for no platform", gate: policy.GatePlatform}},
		"an index that was not read to its end passes by what is known": {
			spec: imagev1.ImagePolicySpec{Platform: "linux/arm64"}, tag: "2.0",
			facts: known{platforms: map[string][]string{"sha256:2.0": {"linux/arm64"}}, unread: 3},
			want:  checkedCandidate{candidate: candidate{tag: "2.0", digest: "sha256:2.0"}}},
		"an index that was not read to its end says so when it is dropped": {
			spec: imagev1.ImagePolicySpec{Platform: "linux/arm64"}, tag: "2.0",
			facts: known{platforms: map[string][]string{"sha256:2.0": {"linux/amd64"}}, unread: 3},
			want: checkedCandidate{candidate: candidate{tag: "2.0", digest: "sha256:2.0"}, gate: policy.GatePlatform,
				dropped: "made for linux/amd64 only, as far as is known: its index does not say what its images are for, and 3 of them are" +
					" beyond the 20 that are asked; push it with a platform for each image"}},
		"with IfNotPresent the digest of the last choice stays": {
			spec: imagev1.ImagePolicySpec{Platform: "linux/arm64", DigestReflectionPolicy: imagev1.ReflectIfNotPresent}, tag: "1.0",
			facts: known{platforms: map[string][]string{"sha256:old": {"linux/arm64"}}},
			want:  checkedCandidate{candidate: candidate{tag: "1.0", digest: "sha256:old", digestKept: true}}},
		"a digest of the last choice that is gone is looked up": {
			spec: imagev1.ImagePolicySpec{Platform: "linux/arm64", DigestReflectionPolicy: imagev1.ReflectIfNotPresent}, tag: "1.0",
			facts: known{platforms: map[string][]string{"sha256:1.0": {"linux/arm64"}}, fails: map[string]error{"sha256:old": registry.ErrNotFound}},
			want:  checkedCandidate{candidate: candidate{tag: "1.0", digest: "sha256:1.0", lost: true}}},
		"a rejected digest is dropped": {
			spec: imagev1.ImagePolicySpec{Reject: []imagev1.Rejection{{Digest: leaky, Reason: "it leaks"}}}, tag: "2.0",
			facts: known{digests: map[string]string{"2.0": leaky}},
			want: checkedCandidate{
				candidate: candidate{tag: "2.0", digest: leaky},
				dropped:   "rejected by spec.reject: it leaks",
				gate:      policy.GateRejectDigest,
			}},
		"another digest is not": {
			spec: imagev1.ImagePolicySpec{Reject: []imagev1.Rejection{{Digest: leaky, Reason: "it leaks"}}}, tag: "2.0",
			want: checkedCandidate{candidate: candidate{tag: "2.0", digest: "sha256:2.0"}}},
		"a signed image passes, and says by whom": {
			spec: imagev1.ImagePolicySpec{Verify: &imagev1.Verification{}}, tag: "2.0",
			facts: known{signatures: map[string]signatureResult{"sha256:2.0": {known: true, signer: "signed by ann"}}},
			want:  checkedCandidate{candidate: candidate{tag: "2.0", digest: "sha256:2.0", signer: "signed by ann"}}},
		"an unsigned image is dropped for a while": {
			spec: imagev1.ImagePolicySpec{Verify: &imagev1.Verification{}}, tag: "2.0",
			facts: known{signatures: map[string]signatureResult{"sha256:2.0": missing}},
			want:  checkedCandidate{candidate: candidate{tag: "2.0", digest: "sha256:2.0"}, dropped: "no signature", gate: policy.GateVerify},
			until: missing.until},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var out searchResult
			got, err := out.admit(t.Context(), inputsOf(t, tc.spec), &tc.facts, candidate{tag: tc.tag})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(checkedCandidate{}, candidate{})); diff != "" {
				t.Error(diff)
			}
			at := out.maturity
			if tc.spec.Verify != nil {
				at = out.recheck
			}
			if !at.Equal(tc.until) || !out.maturity.IsZero() && !out.recheck.IsZero() {
				t.Errorf("something else may be said at %s or %s, want %s", out.maturity, out.recheck, tc.until)
			}
		})
	}
}

// tags ranks n tags: the highest number is the best.
func tags(n int) ranker {
	return func(_ context.Context, top int) ([]policy.Ranked, policy.Decision, error) {
		var ranked []policy.Ranked
		for i := range min(n, top) {
			ranked = append(ranked, policy.Ranked{Tag: fmt.Sprint(n - i)})
		}
		return ranked, policy.Decision{Total: n}, nil
	}
}

func TestASearchEndsAtTheFirstTagThatPasses(t *testing.T) {
	busy := errors.New("no answer")
	failing := func(tag string, err error) known { return known{fails: map[string]error{tag: err}} }
	// Only a few tags are made for the platform.
	platforms := func(tags ...string) map[string][]string {
		made := map[string][]string{}
		for _, tag := range tags {
			made["sha256:"+tag] = []string{"linux/amd64"}
		}
		return made
	}
	tests := map[string]struct {
		rank         ranker
		facts        known
		wantTag      string
		wantChecked  int
		wantProgress progress
		wantErr      error
	}{
		"the best tag":                        {rank: tags(3), facts: known{platforms: platforms("3", "1")}, wantTag: "3", wantChecked: 1},
		"the next one":                        {rank: tags(3), facts: known{platforms: platforms("1")}, wantTag: "1", wantChecked: 3},
		"one beyond those that come at first": {rank: tags(100), facts: known{platforms: platforms("1")}, wantTag: "1", wantChecked: 100},
		"none":                                {rank: tags(3), wantChecked: 3},
		"none of more than are ever ranked":   {rank: tags(maxTop + 1), wantChecked: maxTop},
		"a run that may ask no more":          {rank: tags(3), facts: failing("2", errBound), wantChecked: 1, wantProgress: outOfLookUps},
		"a look-up that goes on": {
			rank:         tags(3),
			facts:        failing("2", background.ErrPending),
			wantChecked:  1,
			wantProgress: awaitingRegistry,
		},
		"a registry that fails": {rank: tags(3), facts: failing("3", busy), wantErr: busy},
		"a match that goes on": {
			rank: func(context.Context, int) ([]policy.Ranked, policy.Decision, error) {
				return nil, policy.Decision{}, background.ErrPending
			}, wantProgress: awaitingMatch},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			out, err := search(t.Context(), inputsOf(t, imagev1.ImagePolicySpec{Platform: "linux/amd64"}), tc.rank, &tc.facts)
			if !errors.Is(err, tc.wantErr) || out.progress != tc.wantProgress || len(out.checked) != tc.wantChecked {
				t.Fatalf("got %v, progress %d after %d candidates", err, out.progress, len(out.checked))
			}
			if tc.wantTag == "" && out.chosen != nil || tc.wantTag != "" && (out.chosen == nil || out.chosen.tag != tc.wantTag) {
				t.Errorf("chose %+v", out.chosen)
			}
		})
	}
}

func TestAChoiceThatIsToldWithItsDigestHasOne(t *testing.T) {
	spec := imagev1.ImagePolicySpec{DigestReflectionPolicy: imagev1.ReflectAlways, Interval: hours(1)}
	out, err := search(t.Context(), inputsOf(t, spec), tags(1), &known{})
	if err != nil || out.chosen == nil || out.chosen.digest != "sha256:1" {
		t.Errorf("got %+v, %v", out.chosen, err)
	}
}

func TestTheNextRunIsWhenSomethingMayChange(t *testing.T) {
	in := inputsOf(t, imagev1.ImagePolicySpec{DigestReflectionPolicy: imagev1.ReflectAlways, Interval: hours(2)})
	in.target.Timeout = time.Minute
	tests := map[string]struct {
		out  searchResult
		want time.Duration
	}{
		"the interval":                    {searchResult{}, 2 * time.Hour},
		"a tag is old enough before":      {searchResult{maturity: noon.Add(time.Hour)}, time.Hour},
		"a signature may be there before": {searchResult{maturity: noon.Add(time.Hour), recheck: noon.Add(time.Minute)}, time.Minute},
		"what is over is now":             {searchResult{recheck: noon.Add(-time.Minute)}, time.Millisecond},
		"the bound":                       {searchResult{progress: outOfLookUps, maturity: noon.Add(time.Hour)}, pause},
		"a registry that wakes nobody":    {searchResult{progress: awaitingRegistry}, time.Minute + pause},
	}
	for name, tc := range tests {
		if got := tc.out.nextRun(in); got != tc.want {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func TestAVerdictOnSignaturesHoldsForAWhile(t *testing.T) {
	results := map[string]struct {
		v    signatureResult
		want bool
	}{
		"never reached": {signatureResult{}, false},
		"signed":        {signatureResult{known: true, signer: "ann"}, true},
		"missing a moment ago": {
			signatureResult{known: true, missing: "none", checkedAt: noon.Add(-time.Second), until: noon.Add(time.Second)},
			true,
		},
		"missing some time ago": {signatureResult{known: true, missing: "none", checkedAt: noon.Add(-time.Minute), until: noon}, false},
		"missing before somebody asked now": {
			signatureResult{known: true, missing: "none", checkedAt: noon.Add(-time.Hour), until: noon.Add(time.Hour)},
			false,
		},
	}
	for name, tc := range results {
		if got := tc.v.holds(noon, noon.Add(-30*time.Minute)); got != tc.want {
			t.Errorf("a result that is %s holds: %v", name, got)
		}
	}
}
