// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/scan"
)

const day = 24 * time.Hour

// aged is a fixture with minAge of a day, and a tag 1.0.0 that is two days old.
func aged(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	f.policy.Spec.MinAge = &metav1.Duration{Duration: day}
	f.push(t, "1.0.0")
	f.pass(2 * day)
	return f
}

// pass lets time go by.
func (f *fixture) pass(d time.Duration) { f.clock.SetTime(f.clock.Now().Add(d)) }

// wantChoice reconciles, and returns what was told and when to come back.
func (f *fixture) wantChoice(t *testing.T, tag string) (told string, after time.Duration) {
	t.Helper()
	result := f.mustReconcile(t)
	if got := f.policy.Status.LatestRef.Tag; got != tag {
		t.Fatalf("chose %s, want %s: %+v", got, tag, f.policy.Status.Decision)
	}
	for _, e := range result.Events {
		told += e.Message
	}
	return told, result.After
}

func TestTheNewestTagThatIsOldEnoughWins(t *testing.T) {
	f := aged(t)
	young := f.push(t, "1.1.0")
	if _, after := f.wantChoice(t, "1.0.0"); after != day {
		t.Errorf("comes back after %s, want exactly when 1.1.0 is old enough", after)
	}
	matures := metav1.NewTime(f.clock.Now().Add(day).Local())
	want := &imagev1.Decision{
		Rule: "semver 1.x", Total: 2, Qualified: 1, NextMaturity: &matures,
		Dropped: []imagev1.DroppedTags{{Rule: "younger than spec.minAge", Count: 1, Example: "1.1.0"}},
	}
	got := f.policy.Status.Decision.DeepCopy()
	if len(got.Candidates) != 2 || got.Candidates[0].Digest != young || got.Candidates[1].Dropped != "" ||
		got.Candidates[0].Gate != "minAge" || got.Candidates[1].Gate != "" ||
		got.Candidates[0].Dropped != "younger than 24h, old enough at 2026-11-04T12:00:00Z" {
		t.Errorf("candidates %+v", got.Candidates)
	}
	got.Candidates = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	f.pass(day - time.Second)
	f.wantChoice(t, "1.0.0")
	f.pass(time.Second)
	if _, after := f.wantChoice(t, "1.1.0"); after != 0 {
		t.Errorf("comes back after %s, and nothing will change", after)
	}
}

// With a stream of pushes that never ends, something must be chosen.
func TestAStreamOfYoungTagsNeverKeepsTheOldOneBack(t *testing.T) {
	f := aged(t)
	for _, tag := range []string{"1.0.1", "1.0.2", "1.0.3"} {
		f.push(t, tag)
		f.pass(time.Hour)
		f.wantChoice(t, "1.0.0")
	}
	f.pass(day - 3*time.Hour)
	f.wantChoice(t, "1.0.1")
	f.pass(time.Hour)
	f.wantChoice(t, "1.0.2")
}

func TestNothingIsChosenWhileEverythingIsYoung(t *testing.T) {
	f := newFixture(t)
	f.policy.Spec.MinAge = &metav1.Duration{Duration: day}
	f.push(t, "1.0.0")
	_, err := f.reconcile()
	want := "unable to determine latest tag: the only tag does not qualify for semver 1.x: 1 younger than spec.minAge (1.0.0)"
	if err == nil || err.Error() != want || f.Reason(err) != "Failure" {
		t.Errorf("got %v", err)
	}
	if f.policy.Status.Decision.NextMaturity == nil || f.policy.Status.LatestRef != nil {
		t.Errorf("got %+v", f.policy.Status)
	}
	f.pass(day)
	f.wantChoice(t, "1.0.0")
}

func TestAMovedTagIsAsYoungAsANewOne(t *testing.T) {
	f := aged(t)
	f.push(t, "1.1.0")
	f.mustReconcile(t)
	f.pass(2 * day)
	f.wantChoice(t, "1.1.0")
	f.push(t, "1.1.0")
	told, _ := f.wantChoice(t, "1.0.0")
	if !strings.HasSuffix(told, "; 1.1.0: younger than 24h, old enough at 2026-11-06T12:00:00Z") {
		t.Errorf("told %q", told)
	}
	f.pass(day)
	f.wantChoice(t, "1.1.0")
}

func TestAChoiceStaysAtItsDigestWhileAMovedTagMatures(t *testing.T) {
	for _, how := range []imagev1.ReflectionPolicy{imagev1.ReflectAlways, imagev1.ReflectIfNotPresent} {
		t.Run(string(how), func(t *testing.T) {
			f := aged(t)
			first := f.push(t, "1.1.0")
			reflect(f, how)
			f.mustReconcile(t)
			f.pass(2 * day)
			f.wantChoice(t, "1.1.0")
			second := f.push(t, "1.1.0")
			f.wantChoice(t, "1.1.0")
			if got := f.policy.Status.LatestRef.Digest; got != first {
				t.Errorf("the digest is %s while the new one is young", got)
			}
			f.pass(day)
			f.wantChoice(t, "1.1.0")
			want := map[imagev1.ReflectionPolicy]string{imagev1.ReflectAlways: second, imagev1.ReflectIfNotPresent: first}[how]
			if got := f.policy.Status.LatestRef.Digest; got != want {
				t.Errorf("the digest is %s, want %s", got, want)
			}
		})
	}
}

func TestALostClockIsRestoredFromTheStatus(t *testing.T) {
	f := aged(t)
	f.push(t, "1.1.0")
	f.wantChoice(t, "1.0.0")
	f.pass(day / 2)
	f.Store = scan.NewStore(scan.WithClock(f.clock))
	f.scan(t)
	if _, after := f.wantChoice(t, "1.0.0"); after != day/2 {
		t.Errorf("comes back after %s, want what was left of the day", after)
	}
	f.pass(day / 2)
	f.wantChoice(t, "1.1.0")
}

// Only policies with a minimum age said when they had seen their tags first.
func TestEveryPolicySaysWhenItsTagsWereFirstSeen(t *testing.T) {
	for name, tc := range map[string]struct {
		how imagev1.ReflectionPolicy
		// moved is how long after the first push the time counts from once the tag has moved.
		moved time.Duration
	}{
		"a tag":             {imagev1.ReflectNever, 0},
		"one with a digest": {imagev1.ReflectAlways, 2 * day},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			reflect(f, tc.how)
			first := f.clock.Now()
			want := func(after time.Duration) {
				t.Helper()
				f.wantChoice(t, "1.0.0")
				if got := f.policy.Status.Decision.Candidates[0].FirstSeen; got == nil || got.Sub(first) != after {
					t.Errorf("first seen %v, want %s after %s", got, after, first)
				}
			}
			f.push(t, "1.0.0")
			want(0)
			f.pass(day)
			f.Store = scan.NewStore(scan.WithClock(f.clock)) // whose folder was lost
			f.scan(t)
			want(0)
			f.pass(day)
			f.push(t, "1.0.0")
			want(tc.moved)
		})
	}
}

// A tag that was first seen long ago may have been moved since: that is no age of its digest.
func TestTheAgeOfATagIsNotThatOfADigestOnceOneIsAskedFor(t *testing.T) {
	f := newFixture(t)
	f.push(t, "1.0.0")
	f.wantChoice(t, "1.0.0")
	f.pass(7 * day)
	reflect(f, imagev1.ReflectAlways)
	there := f.push(t, "1.0.0")
	f.wantChoice(t, "1.0.0")
	moved := f.push(t, "1.0.0")
	f.wantChoice(t, "1.0.0")
	if got := f.policy.Status.LatestRef.Digest; got != moved {
		t.Fatalf("the digest is %s, want %s", got, moved)
	}
	f.policy.Spec.MinAge = &metav1.Duration{Duration: day}
	f.policy.Status.LatestRef.Digest = there
	f.wantChoice(t, "1.0.0")
	if got := f.policy.Status.LatestRef.Digest; got != there {
		t.Errorf("%s is as old as its tag", got)
	}
}

func TestTheAgesOfAStatusCountForNoOtherPolicy(t *testing.T) {
	f := aged(t)
	young := f.push(t, "1.1.0")
	other := f.policy.DeepCopy()
	other.Name, other.UID = "other", "other"
	long := metav1.NewTime(f.clock.Now().Add(-7 * day))
	f.policy.Status.Decision = &imagev1.Decision{Candidates: []imagev1.Candidate{{Tag: "1.1.0", Digest: young, FirstSeen: &long}}}
	f.wantChoice(t, "1.1.0")
	f.policy = other
	f.wantChoice(t, "1.0.0")
}

func TestYoungTagsAreLookedUpOnce(t *testing.T) {
	f := aged(t)
	f.push(t, "1.1.0", "1.2.0")
	f.wantChoice(t, "1.0.0")
	before := f.asked.Load()
	status := f.policy.Status.DeepCopy()
	f.pass(time.Minute)
	f.wantChoice(t, "1.0.0")
	if n := f.asked.Load() - before; n != 1 {
		t.Errorf("%d requests, want one, about the choice", n)
	}
	if diff := cmp.Diff(status, &f.policy.Status); diff != "" {
		t.Errorf("a look without news changed the status: %s", diff)
	}
}
