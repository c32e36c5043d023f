// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/test/make"
)

// in is a time of the fixture's clock.
func (f *fixture) in(d time.Duration) *metav1.Time { return &metav1.Time{Time: f.clock.Now().Add(d)} }

func TestAPinWinsUntilItEnds(t *testing.T) {
	f := newFixture(t)
	f.push(t, "1.0.0", "1.1.0", "hotfix")
	f.wantChoice(t, "1.1.0")
	f.policy.Spec.Pin = &imagev1.Pin{Tag: "hotfix", Reason: "1.1.0 leaks", Until: f.in(time.Hour)}
	told, after := f.wantChoice(t, "hotfix")
	if after != time.Hour || f.policy.Status.Decision.Rule != "pin" {
		t.Errorf("comes back after %s, by %s", after, f.policy.Status.Decision.Rule)
	}
	want := fmt.Sprintf("Latest image tag for %[1]s/app resolved to hotfix (previously %[1]s/app:1.1.0); "+
		"pinned by spec.pin: 1.1.0 leaks (until 2026-11-01T13:00:00Z); 1.1.0: not pinned", f.host)
	if told != want {
		t.Errorf("told %q\nwant %q", told, want)
	}
	f.pass(time.Hour)
	if _, after := f.wantChoice(t, "1.1.0"); after != 0 {
		t.Errorf("comes back after %s", after)
	}
}

func TestAPinOfATagThatIsNotThereKeepsTheLastChoice(t *testing.T) {
	f := newFixture(t)
	f.push(t, "1.0.0")
	f.mustReconcile(t)
	f.policy.Spec.Pin = &imagev1.Pin{Tag: "0.9.0"}
	_, err := f.reconcile()
	want := "unable to determine latest tag: spec.pin.tag 0.9.0: not a tag of " + f.host + "/app, or excluded"
	if err == nil || err.Error() != want || f.policy.Status.LatestRef.Tag != "1.0.0" {
		t.Errorf("got %v and %v", err, f.policy.Status.LatestRef)
	}
}

func TestAPinDoesNotWaitForAge(t *testing.T) {
	f := aged(t)
	f.push(t, "1.1.0")
	f.policy.Spec.Pin = &imagev1.Pin{Tag: "1.1.0"}
	f.wantChoice(t, "1.1.0")
}

func TestRejections(t *testing.T) {
	tests := map[string]struct {
		reject    func(f *fixture, digest string) imagev1.Rejection
		wantTold  string
		wantAfter time.Duration
	}{
		"a rejected tag": {
			reject:   func(*fixture, string) imagev1.Rejection { return imagev1.Rejection{Tag: "1.1.0"} },
			wantTold: "; 1.1.0: rejected by spec.reject"},
		"a rejected tag, for a while": {
			reject: func(f *fixture, _ string) imagev1.Rejection {
				return imagev1.Rejection{Tag: "1.1.0", Reason: "leaks", Until: f.in(time.Minute)}
			},
			wantTold: "; 1.1.0: rejected by spec.reject: leaks (until 2026-11-01T12:01:00Z)", wantAfter: time.Minute},
		"a rejected digest": {
			reject: func(_ *fixture, digest string) imagev1.Rejection {
				return imagev1.Rejection{Digest: digest, Reason: "CVE"}
			},
			wantTold: "; 1.1.0: rejected by spec.reject: CVE"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			digest := f.push(t, "1.0.0", "1.1.0")
			f.wantChoice(t, "1.1.0")
			f.policy.Spec.Reject = []imagev1.Rejection{tc.reject(f, digest)}
			told, after := f.wantChoice(t, "1.0.0")
			if !strings.HasSuffix(told, tc.wantTold) || after != tc.wantAfter {
				t.Errorf("told %q, comes back after %s", told, after)
			}
			if after > 0 {
				f.pass(after)
				f.wantChoice(t, "1.1.0")
			}
		})
	}
}

// made pushes an image for one platform.
func (f *fixture) made(t *testing.T, tag, os, arch string) {
	t.Helper()
	image, err := random.Image(16, 1)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = os, arch
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	f.put(t, tag, image)
}

func TestOnlyTagsForThePlatformAreChosen(t *testing.T) {
	f := newFixture(t)
	f.policy.Spec.Platform = "linux/arm64"
	f.made(t, "1.0.0", "linux", "arm64")
	f.made(t, "1.2.0", "linux", "amd64")
	f.scan(t)
	f.wantChoice(t, "1.0.0")
	if got := f.policy.Status.Decision.Candidates[0].Dropped; got != "made for linux/amd64 only" {
		t.Errorf("1.2.0 was dropped because %q", got)
	}
	before := f.asked.Load()
	f.wantChoice(t, "1.0.0")
	if n := f.asked.Load() - before; n != 2 {
		t.Errorf("%d requests, want one a candidate: what a digest is made for is known", n)
	}
	index, err := random.Index(16, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(16, 1)
	if err != nil {
		t.Fatal(err)
	}
	index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
		Platform: &v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}}})
	ref, err := name.NewTag(f.host + "/app:1.3.0")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	f.scan(t)
	f.wantChoice(t, "1.3.0")
}

// Twenty look-ups a run; the right image is the fortieth.
func TestASearchIsBoundedAndGoesOn(t *testing.T) {
	f := newFixture(t)
	f.policy.Spec.Platform = "linux/arm64"
	f.made(t, "1.0.0", "linux", "arm64")
	for i := 1; i < 40; i++ {
		f.made(t, fmt.Sprintf("1.%d.0", i), "linux", "amd64")
	}
	f.scan(t)
	runs := 0
	for {
		before := f.asked.Load()
		result := f.mustReconcile(t)
		runs++
		if n := f.asked.Load() - before; n > 3*maxLookUps {
			t.Fatalf("%d requests in one run", n)
		}
		d := f.policy.Status.Decision
		if !result.Progressing {
			break
		}
		if runs == 1 && (d.Unchecked != 30 || d.Dropped[0].Count != 10 ||
			result.Message != "looking at the candidates of "+f.host+"/app: 10 were dropped, 30 are left") {
			t.Errorf("after one run: %s, %+v", result.Message, d)
		}
		if result.After <= 0 || runs > 10 {
			t.Fatalf("run %d comes back after %s", runs, result.After)
		}
		f.pass(result.After)
	}
	if f.policy.Status.LatestRef.Tag != "1.0.0" || runs != 4 || len(f.policy.Status.Decision.Candidates) > maxListed {
		t.Errorf("chose %v in %d runs, with %d candidates", f.policy.Status.LatestRef, runs, len(f.policy.Status.Decision.Candidates))
	}
}

func TestAnUnfinishedSearchKeepsTheChoice(t *testing.T) {
	f := newFixture(t)
	f.policy.Spec.Platform = "linux/arm64"
	f.made(t, "1.0.0", "linux", "arm64")
	f.scan(t)
	f.wantChoice(t, "1.0.0")
	message := f.policy.Status.Conditions[0].Message
	for i := 1; i < 15; i++ {
		f.made(t, fmt.Sprintf("1.%d.0", i), "linux", "amd64")
	}
	f.scan(t)
	result := f.mustReconcile(t)
	if result.Progressing || result.Message != message || result.After != pause || result.Events != nil ||
		f.policy.Status.Decision.Unchecked == 0 {
		t.Errorf("got %+v and %+v", result, f.policy.Status.Decision)
	}
	if _, after := f.wantChoice(t, "1.0.0"); after != 0 {
		t.Errorf("the search did not end")
	}
}

func TestATagThatWentAfterTheScanIsPassedOver(t *testing.T) {
	f := newFixture(t)
	f.push(t, "1.0.0", "1.1.0")
	f.policy.Spec.MinAge = &metav1.Duration{Duration: time.Nanosecond}
	f.pass(time.Minute)
	ref, err := name.NewTag(f.host + "/app:1.1.0")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Delete(ref); err != nil {
		t.Fatal(err)
	}
	f.wantChoice(t, "1.0.0")
	if got := f.policy.Status.Decision.Candidates[0].Dropped; got != "gone from the registry" {
		t.Errorf("1.1.0 was dropped because %q", got)
	}
}

func TestADeletedTagIsNamedWhenTheChoiceGoesDown(t *testing.T) {
	f := newFixture(t)
	f.push(t, "1.0.0", "1.1.0")
	f.wantChoice(t, "1.1.0")
	f.repo.Spec.ExclusionList = []string{`^1\.1`}
	if err := f.Client.Update(t.Context(), f.repo); err != nil {
		t.Fatal(err)
	}
	f.scan(t)
	told, _ := f.wantChoice(t, "1.0.0")
	if want := "; 1.1.0: not a tag of " + f.host + "/app, or excluded"; !strings.HasSuffix(told, want) {
		t.Errorf("told %q", told)
	}
}

func TestARegistryThatFailsIsNoVerdict(t *testing.T) {
	f := newFixture(t)
	f.push(t, "1.0.0", "1.1.0")
	f.policy.Spec.Platform = "linux/arm64"
	f.broken.Store(true)
	_, err := f.reconcile()
	if err == nil || f.Reason(err) != imagev1.ReadOperationFailedReason || f.policy.Status.Decision != nil {
		t.Errorf("got %v", err)
	}
}

// Flux asks for the digest by HTTPS whatever spec.insecure says. The name of the
// registry is one that nothing but the proxy knows.
func TestADigestOfAnInsecureRegistryIsLookedUpByHTTP(t *testing.T) {
	f := newFixture(t)
	digest := f.push(t, "1.0.0")
	proxy := make.Secret("apps", "proxy", map[string]string{"address": "http://" + f.host})
	if err := f.Client.Create(t.Context(), proxy); err != nil {
		t.Fatal(err)
	}
	f.repo.Spec.Image, f.repo.Spec.Insecure = "registry.example.test/app", true
	f.repo.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: "proxy"}
	if err := f.Client.Update(t.Context(), f.repo); err != nil {
		t.Fatal(err)
	}
	f.scan(t)
	reflect(f, imagev1.ReflectIfNotPresent)
	f.wantChoice(t, "1.0.0")
	if got := f.policy.Status.LatestRef.Digest; got != digest {
		t.Errorf("the digest is %q", got)
	}
}
