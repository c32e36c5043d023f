// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// shop is a pipeline that bundles the policy, and has a version of its image in
// quarantine.
func shop(version sluicev1.Version, changes ...func(*sluicev1.Pipeline)) *sluicev1.Pipeline {
	p := &sluicev1.Pipeline{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "shop"}}
	p.Spec.Artifacts = []sluicev1.Artifact{
		{Name: "api", ImagePolicyRef: &meta.LocalObjectReference{Name: "app"}},
		{Name: "web", ImagePolicyRef: &meta.LocalObjectReference{Name: "web"}},
	}
	version.Artifact = "api"
	p.Status.Quarantined = []sluicev1.Quarantine{{
		Bundle: sluicev1.Bundle{ID: "1", Versions: []sluicev1.Version{version, {Artifact: "web", Tag: "1.0.0"}}},
		Reason: "Canary apps/app failed",
	}}
	for _, change := range changes {
		change(p)
	}
	return p
}

func TestVersionsInQuarantineAreNotChosen(t *testing.T) {
	until := metav1.NewTime(time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC))
	quarantined := func(change func(*sluicev1.Quarantine)) func(*sluicev1.Pipeline) {
		return func(p *sluicev1.Pipeline) { change(&p.Status.Quarantined[0]) }
	}
	tag, digest := sluicev1.Version{Tag: "1.1.0"}, sluicev1.Version{Tag: "1.1.0", Digest: "PUSHED"}
	tests := map[string]struct {
		version  sluicev1.Version
		pipeline func(*sluicev1.Pipeline)
		policy   func(*imagev1.ImagePolicy)
		want     string
		wantWhy  string // of 1.1.0, if it is not chosen
	}{
		"a tag, if no digest is known": {version: tag, want: "1.0.0", wantWhy: "in quarantine by pipeline apps/shop: Canary apps/app failed"},
		"a digest": {
			version: digest, policy: func(p *imagev1.ImagePolicy) { p.Spec.DigestReflectionPolicy = imagev1.ReflectIfNotPresent },
			want: "1.0.0", wantWhy: "in quarantine by pipeline apps/shop: Canary apps/app failed",
		},
		"a digest, of a policy that reflects none": {
			version: digest, want: "1.0.0", wantWhy: "in quarantine by pipeline apps/shop: Canary apps/app failed",
		},
		"a digest under another tag": {
			version: sluicev1.Version{Tag: "rc", Digest: "PUSHED"}, want: "1.0.0",
			wantWhy: "in quarantine by pipeline apps/shop: Canary apps/app failed",
		},
		"but what its tag was moved to is": {version: sluicev1.Version{Tag: "1.1.0", Digest: "sha256:0"}, want: "1.1.0"},
		"when its time is over neither": {
			version: tag, pipeline: quarantined(func(q *sluicev1.Quarantine) { q.Until = &until }),
			want:    "1.0.0",
			wantWhy: "in quarantine by pipeline apps/shop: Canary apps/app failed (people may promote it from 2026-11-02T12:00:00Z on)",
		},
		"but one that somebody put back is": {
			version: tag, pipeline: quarantined(func(q *sluicev1.Quarantine) { q.Overridden = true }), want: "1.1.0",
		},
		"but one that another artifact is suspected for is": {
			version: tag, pipeline: quarantined(func(q *sluicev1.Quarantine) { q.Artifacts = []string{"web"} }), want: "1.1.0",
		},
		"but one of another image is": {version: sluicev1.Version{Image: "elsewhere/app", Tag: "1.1.0"}, want: "1.1.0"},
		"but one that a pipeline of another namespace keeps back is": {
			version: tag, pipeline: func(p *sluicev1.Pipeline) { p.Namespace = "others" }, want: "1.1.0",
		},
		"but one of another policy is": {
			version: tag, pipeline: func(p *sluicev1.Pipeline) { p.Spec.Artifacts[0].ImagePolicyRef.Name = "other" }, want: "1.1.0",
		},
		"whatever the pipeline calls the artifact now": {
			version:  sluicev1.Version{Image: "IMAGE", Tag: "1.1.0"},
			pipeline: func(p *sluicev1.Pipeline) { p.Spec.Artifacts[0].Name = "backend" },
			want:     "1.0.0", wantWhy: "in quarantine by pipeline apps/shop: Canary apps/app failed",
		},
		"but one that is pinned is": {
			version: tag, policy: func(p *imagev1.ImagePolicy) { p.Spec.Pin = &imagev1.Pin{Tag: "1.1.0"} }, want: "1.1.0",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.pipelines = reconciler.AlwaysServed()
			pushed := f.push(t, "1.0.0", "1.1.0")
			if tc.version.Digest == "PUSHED" {
				tc.version.Digest = pushed
			}
			if tc.version.Image == "IMAGE" {
				tc.version.Image = f.repo.Spec.Image
			}
			p := shop(tc.version)
			if tc.pipeline != nil {
				tc.pipeline(p)
			}
			if tc.policy != nil {
				tc.policy(f.policy)
			}
			if err := f.Client.Create(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			told, after := f.wantChoice(t, tc.want)
			candidates := f.policy.Status.Decision.Candidates
			if tc.wantWhy == "" {
				return
			}
			if candidates[0].Tag != "1.1.0" || candidates[0].Gate != "quarantine" || candidates[0].Dropped != tc.wantWhy || after != 0 {
				t.Errorf("candidates %+v after %s, want %q", candidates, after, tc.wantWhy)
			}
			if want := "1 in quarantine by a pipeline (1.1.0)"; !strings.Contains(told, want) {
				t.Errorf("told %q, want %q", told, want)
			}
		})
	}
}

func TestAllInQuarantineKeepsTheLastChoiceWhichCountsForNothing(t *testing.T) {
	f := newFixture(t)
	f.pipelines = reconciler.AlwaysServed()
	f.push(t, "1.1.0")
	f.wantChoice(t, "1.1.0")
	if err := f.Client.Create(t.Context(), shop(sluicev1.Version{Tag: "1.1.0"})); err != nil {
		t.Fatal(err)
	}
	_, err := f.reconcile()
	want := "unable to determine latest tag: the only tag does not qualify for semver 1.x: 1 in quarantine by a pipeline (1.1.0)"
	if err == nil || err.Error() != want || f.policy.Status.LatestRef.Tag != "1.1.0" {
		t.Errorf("got %v and %v, want %q", err, f.policy.Status.LatestRef, want)
	}
}

// TestATagThatWasMendedIsChosenAtOnce: with IfNotPresent the policy would stay with the
// digest that is in quarantine.
func TestATagThatWasMendedIsChosenAtOnce(t *testing.T) {
	f := newFixture(t)
	f.pipelines = reconciler.AlwaysServed()
	f.policy.Spec.DigestReflectionPolicy = imagev1.ReflectIfNotPresent
	bad := f.push(t, "1.0.0", "1.1.0")
	f.wantChoice(t, "1.1.0")
	mended := f.push(t, "1.1.0")
	if err := f.Client.Create(t.Context(), shop(sluicev1.Version{Tag: "1.1.0", Digest: bad})); err != nil {
		t.Fatal(err)
	}
	f.pass(searchLife)
	f.wantChoice(t, "1.1.0")
	if got := f.policy.Status.LatestRef.Digest; got != mended {
		t.Errorf("chose %s, want the one that %s was mended with", got, "1.1.0")
	}
}

func TestWhichPipelinesBringPoliciesBack(t *testing.T) {
	quiet := shop(sluicev1.Version{Tag: "1.1.0"}, func(p *sluicev1.Pipeline) { p.Status.Quarantined = nil })
	busy := quiet.DeepCopy()
	busy.Status.Summary = "staging 1.0.0"
	bad := shop(sluicev1.Version{Tag: "1.1.0"})
	other := bad.DeepCopy()
	other.Spec.Artifacts[1].ImagePolicyRef.Name = "cart"
	tests := map[string]struct {
		before, after client.Object // nil is none
		want          bool
	}{
		"one that is new":                                        {nil, quiet, false},
		"one that is new, with a quarantine":                     {nil, bad, true},
		"one whose status changes":                               {quiet, busy, false},
		"one that puts a version into quarantine":                {quiet, bad, true},
		"one that lifts it":                                      {bad, quiet, true},
		"one that bundles another policy":                        {bad, other, true},
		"one whose quarantine stays":                             {bad, bad.DeepCopy(), false},
		"one that is deleted":                                    {quiet, nil, false},
		"one that is deleted, and keeps nothing back any longer": {bad, nil, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, passes := false, quarantineChanged()
			switch {
			case tc.before == nil:
				got = passes.Create(event.CreateEvent{Object: tc.after})
			case tc.after == nil:
				got = passes.Delete(event.DeleteEvent{Object: tc.before})
			default:
				got = passes.Update(event.UpdateEvent{ObjectOld: tc.before, ObjectNew: tc.after})
			}
			if got != tc.want {
				t.Errorf("passes: %t", got)
			}
		})
	}
}
