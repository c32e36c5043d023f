// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/signature/signaturetest"
)

// verifying is a fixture whose policy trusts a key.
func verifying(t *testing.T) (*fixture, signaturetest.Key) {
	t.Helper()
	key := signaturetest.NewKey(t)
	f := newFixture(t, key.Secret(t, "apps"))
	f.policy.Spec.Verify = &imagev1.Verification{Provider: "cosign", SecretRef: &meta.LocalObjectReference{Name: "keys"}}
	return f, key
}

func TestOnlyWhatIsSignedIsChosen(t *testing.T) {
	f, key := verifying(t)
	signed := f.push(t, "1.0.0")
	key.Sign(t, f.host+"/app", signed)
	forged := f.push(t, "1.1.0")
	signaturetest.NewKey(t).Sign(t, f.host+"/app", forged)
	f.push(t, "1.2.0")
	told, after := f.wantChoice(t, "1.0.0")
	if got := f.policy.Status.LatestRef.Digest; got != signed {
		t.Errorf("the digest is %q, want the verified one", got)
	}
	if after != shortRecheck || !strings.HasSuffix(told, "2 without a valid signature (1.2.0); signed by key release.pub") {
		t.Errorf("told %q, comes back after %s", told, after)
	}
	for i, want := range []string{"no valid signature: it carries none", "no valid signature: the one found does not count: "} {
		if got := f.policy.Status.Decision.Candidates[i].Dropped; !strings.HasPrefix(got, want) {
			t.Errorf("candidate %d was dropped because %q", i, got)
		}
	}
}

// Signatures are made after the push, and the push may have been seen first.
func TestASignatureThatComesLaterIsFound(t *testing.T) {
	f, key := verifying(t)
	digest := f.push(t, "1.0.0")
	_, err := f.reconcile()
	if err == nil || f.Reason(err) != imagev1.VerificationErrorReason ||
		!strings.Contains(err.Error(), "1 without a valid signature (1.0.0)") {
		t.Fatalf("got %v", err)
	}
	key.Sign(t, f.host+"/app", digest)
	if _, err := f.reconcile(); err == nil {
		t.Error("verified again at once")
	}
	f.pass(shortRecheck)
	if _, after := f.wantChoice(t, "1.0.0"); after != 0 {
		t.Errorf("comes back after %s, and what is signed stays signed", after)
	}
}

func TestAReconcileRequestLooksForSignaturesAtOnce(t *testing.T) {
	f, key := verifying(t)
	digest := f.push(t, "1.0.0")
	_, _ = f.reconcile()
	key.Sign(t, f.host+"/app", digest)
	f.policy.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
	f.wantChoice(t, "1.0.0")
}

func TestLooksForSignaturesGetRarer(t *testing.T) {
	v := signatureResult{}
	var total time.Duration
	for range 20 {
		v = v.stillMissing(time.Time{}, "none")
		total += v.delay
	}
	if v.delay != longRecheck || total < 10*time.Hour {
		t.Errorf("every %s after %s", v.delay, total)
	}
}

func TestWhatIsVerifiedIsNotVerifiedAgain(t *testing.T) {
	f, key := verifying(t)
	key.Sign(t, f.host+"/app", f.push(t, "1.0.0"))
	f.wantChoice(t, "1.0.0")
	before := f.asked.Load()
	f.wantChoice(t, "1.0.0")
	if n := f.asked.Load() - before; n != 1 {
		t.Errorf("%d requests, want one, for the digest", n)
	}
}

func TestAKeyThatIsReplacedCountsNoMore(t *testing.T) {
	f, key := verifying(t)
	key.Sign(t, f.host+"/app", f.push(t, "1.0.0"))
	f.wantChoice(t, "1.0.0")
	secret := signaturetest.NewKey(t).Secret(t, "apps")
	if err := f.Client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	if _, err := f.reconcile(); err == nil || f.Reason(err) != imagev1.VerificationErrorReason {
		t.Errorf("got %v", err)
	}
	if f.policy.Status.LatestRef.Tag != "1.0.0" {
		t.Error("the last choice is gone")
	}
}

func TestATagThatIsMovedIsVerifiedAnew(t *testing.T) {
	f, key := verifying(t)
	key.Sign(t, f.host+"/app", f.push(t, "1.0.0"))
	key.Sign(t, f.host+"/app", f.push(t, "1.1.0"))
	f.wantChoice(t, "1.1.0")
	f.push(t, "1.1.0")
	told, _ := f.wantChoice(t, "1.0.0")
	if !strings.HasSuffix(told, "; 1.1.0: no valid signature: it carries none") {
		t.Errorf("told %q", told)
	}
}

func TestAPinIsVerified(t *testing.T) {
	f, key := verifying(t)
	key.Sign(t, f.host+"/app", f.push(t, "1.0.0"))
	f.wantChoice(t, "1.0.0")
	f.push(t, "hotfix")
	f.policy.Spec.Pin = &imagev1.Pin{Tag: "hotfix"}
	_, err := f.reconcile()
	if want := "unable to determine latest tag: spec.pin.tag hotfix: no valid signature: it carries none"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestWhatCannotBeVerifiedIsSaid(t *testing.T) {
	tests := map[string]struct {
		arrange      func(*fixture)
		wantReason   string
		wantMessage  string
		wantTerminal bool
	}{
		"the Secret is missing": {
			arrange:    func(f *fixture) { f.policy.Spec.Verify.SecretRef.Name = "gone" },
			wantReason: imagev1.VerificationErrorReason, wantMessage: "Secret apps/gone"},
		"keyless needs an identity": {
			arrange:    func(f *fixture) { f.policy.Spec.Verify.SecretRef = nil },
			wantReason: imagev1.VerificationErrorReason, wantMessage: "matchOIDCIdentity", wantTerminal: true},
		"the provider is unknown": {
			arrange:    func(f *fixture) { f.policy.Spec.Verify.Provider = "wax" },
			wantReason: imagev1.VerificationErrorReason, wantMessage: `provider "wax" is unknown`, wantTerminal: true},
		"the registry fails": {
			arrange:    func(f *fixture) { f.broken.Store(true) },
			wantReason: imagev1.ReadOperationFailedReason, wantMessage: "503"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f, _ := verifying(t)
			f.push(t, "1.0.0")
			tc.arrange(f)
			_, err := f.reconcile()
			if err == nil || f.Reason(err) != tc.wantReason || !strings.Contains(err.Error(), tc.wantMessage) {
				t.Errorf("got %v", err)
			}
			if terminal := errors.Is(err, reconcile.TerminalError(nil)); terminal != tc.wantTerminal {
				t.Errorf("terminal: %v", terminal)
			}
		})
	}
}
