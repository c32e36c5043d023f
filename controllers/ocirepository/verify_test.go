// SPDX-License-Identifier: Apache-2.0

package ocirepository

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/notaryproject/notation-core-go/signature/jws"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/signature/signaturetest"
)

// trust makes the Secret keys trust a key alone, in a version of its own.
func (f *fixture) trust(key signaturetest.Key, version string) {
	f.Helper()
	secret := key.Secret(f, namespace)
	secret.ResourceVersion = version
	f.objects = append(f.objects[:0], secret)
}

// sign signs a digest, which asks the registry for nothing that counts.
func (f *fixture) sign(key signaturetest.Key, digest string) {
	f.Helper()
	key.Sign(f, f.host+"/"+repository, digest)
	f.upstream.Asked()
}

// swapSecrets has the API server hold other objects, in the same process.
func (f *fixture) swapSecrets() {
	before := f.Reconciler
	f.restart()
	key := client.ObjectKeyFromObject(f.obj)
	f.Reconciler.verified.Put(key, before.verified.Get(key))
	f.Publisher = before.Publisher
}

func TestOnlyWhatIsSignedIsPublished(t *testing.T) {
	f, key := setup(t), signaturetest.NewKey(t)
	f.trust(key, "1")
	f.restart()
	f.obj.Spec.Verify = &sourcev1.OCIRepositoryVerification{Provider: "cosign", SecretRef: &meta.LocalObjectReference{Name: "keys"}}
	first := f.pushFiles("latest", map[string]string{"a.yaml": "a: 1"})
	err := f.failure(sourcev1.VerificationError, "failed to verify the signature using provider 'cosign'")
	if errors.Is(err, reconcile.TerminalError(nil)) {
		t.Error("it may be signed later, and is retried")
	}
	if f.obj.Status.Artifact != nil {
		t.Error("it was published")
	}
	for _, request := range f.upstream.Asked() {
		if strings.Contains(request, "/blobs/") {
			t.Errorf("it was pulled before: %s", request)
		}
	}
	f.sign(key, first)
	f.must()
	verified := apimeta.FindStatusCondition(f.obj.Status.Conditions, sourcev1.SourceVerifiedCondition)
	if verified == nil || verified.Status != metav1.ConditionTrue || verified.Message != "verified signature of revision latest@"+first {
		t.Errorf("SourceVerified is %+v", verified)
	}
	f.upstream.Asked()
	f.must()
	if diff := cmp.Diff([]string{"HEAD /v2/" + repository + "/manifests/latest"}, f.upstream.Asked()); diff != "" {
		t.Errorf("a steady look asks (-want +got):\n%s", diff)
	}

	f.pushFiles("latest", map[string]string{"a.yaml": "a: 2"})
	f.fails(sourcev1.VerificationError, "no valid signature")
	if diff := cmp.Diff(map[string]string{"a.yaml": "a: 1"}, f.files()); diff != "" {
		t.Errorf("what is not signed took the place of what is:\n%s", diff)
	}
}

func TestAKeyThatChangesIsVerifiedWithAgain(t *testing.T) {
	f, key, other := setup(t), signaturetest.NewKey(t), signaturetest.NewKey(t)
	f.trust(key, "1")
	f.restart()
	f.obj.Spec.Verify = &sourcev1.OCIRepositoryVerification{Provider: "cosign", SecretRef: &meta.LocalObjectReference{Name: "keys"}}
	f.sign(key, f.pushFiles("latest", map[string]string{"a.yaml": "a"}))
	f.must()
	f.trust(other, "2")
	f.swapSecrets()
	f.fails(sourcev1.VerificationError, "no valid signature")
	if !apimeta.IsStatusConditionFalse(f.obj.Status.Conditions, sourcev1.SourceVerifiedCondition) {
		t.Error("SourceVerified is not False")
	}
	f.trust(key, "3")
	f.swapSecrets()
	f.must()
	f.obj.Spec.Verify = nil
	f.must()
	if apimeta.FindStatusCondition(f.obj.Status.Conditions, sourcev1.SourceVerifiedCondition) != nil || f.Reconciler.verified.Len() != 0 {
		t.Error("without verify SourceVerified stays")
	}
}

func TestAVerificationThatCannotWorkSaysSo(t *testing.T) {
	tests := map[string]struct {
		verify   sourcev1.OCIRepositoryVerification
		text     string
		terminal bool
	}{
		"a Secret that is missing": {
			sourcev1.OCIRepositoryVerification{Provider: "cosign", SecretRef: &meta.LocalObjectReference{Name: "none"}}, "Secret apps/none", false},
		"notation without a Secret": {sourcev1.OCIRepositoryVerification{Provider: "notation"}, "needs secretRef", true},
		"another technology":        {sourcev1.OCIRepositoryVerification{Provider: "gpg"}, `provider "gpg" is unknown`, true},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			f := setup(t)
			f.pushFiles("latest", map[string]string{"a.yaml": "a"})
			f.obj.Spec.Verify = &tc.verify
			err := f.failure(sourcev1.VerificationError, tc.text)
			if got := errors.Is(err, reconcile.TerminalError(nil)); got != tc.terminal {
				t.Errorf("terminal is %v: %v", got, err)
			}
		})
	}
}

func TestWhatALyingRegistrySendsIsNotPublished(t *testing.T) {
	tests := map[string]struct {
		answer       func(http.ResponseWriter, *http.Request) bool
		reason, text string
	}{
		"another manifest": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/manifests/") {
				return false
			}
			_, _ = w.Write([]byte(`{"schemaVersion":2,"layers":[]}`))
			return true
		}, sourcev1.OCIPullFailedReason, "failed to pull artifact from"},
		"a layer without end": {func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/blobs/") {
				return false
			}
			for block := make1MiB(); ; {
				if _, err := w.Write(block); err != nil {
					return true
				}
			}
		}, sourcev1.OCIPullFailedReason, "reading the layer"},
		"a registry that limits requests": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodHead {
				return false
			}
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}, sourcev1.OCIPullFailedReason, "limits the rate of requests"},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			f := setup(t)
			f.pushFiles("latest", map[string]string{"a.yaml": "a"})
			f.upstream.Answer(tc.answer)
			f.fails(tc.reason, tc.text)
			if f.obj.Status.Artifact != nil {
				t.Error("it was published")
			}
		})
	}
}

func make1MiB() []byte { return []byte(strings.Repeat("x", 1<<20)) }

func TestALayerThatIsNoArchiveOrExpandsWithoutEndIsRefused(t *testing.T) {
	f := setup(t)
	f.push("latest", nil, layer(contentLayer, []byte("no archive")))
	f.fails(sourcev1.OCILayerOperationFailedReason, "failed to extract layer contents from artifact")
	f.push("latest", nil)
	f.fails(sourcev1.OCILayerOperationFailedReason, "no layers found in artifact")
	f.push("latest", nil, layer(contentLayer, archive(t, map[string]string{"../a.yaml": "a"})))
	f.fails(sourcev1.OCILayerOperationFailedReason, "failed to extract layer contents from artifact")
	f.push("latest", nil, layer(contentLayer, announces(t, 257<<20)))
	f.fails(sourcev1.OCILayerOperationFailedReason, "too large")
}

// signer signs a digest; its Secret trusts it alone.
type signer struct {
	secret *corev1.Secret
	sign   func(f *fixture, digest string)
}

// technologies are ways to sign without a key of one's own in the cluster, each with two signers of whom one is trusted.
func technologies(t *testing.T) map[string]struct {
	verify        sourcev1.OCIRepositoryVerification
	named         string
	ours, strange signer
} {
	t.Helper()
	keyless := func() signer {
		s := signaturetest.NewSigstore(t)
		return signer{s.Secret(namespace), func(f *fixture, digest string) {
			s.Sign(f, f.host+"/"+repository, digest, signaturetest.Identity)
		}}
	}
	notation := func() signer {
		a := signaturetest.NewAuthority(t)
		return signer{a.Secret(t, namespace), func(f *fixture, digest string) {
			image, err := name.NewDigest(f.host+"/"+repository+"@"+digest, name.Insecure)
			if err != nil {
				f.Fatal(err)
			}
			a.Sign(f, image, jws.MediaTypeEnvelope)
		}}
	}
	all := map[string]struct {
		verify        sourcev1.OCIRepositoryVerification
		named         string
		ours, strange signer
	}{}
	one := all["keyless"]
	one.named, one.ours, one.strange = "cosign keyless", keyless(), keyless()
	one.verify = sourcev1.OCIRepositoryVerification{
		Provider: "cosign", TrustedRootSecretRef: &meta.LocalObjectReference{Name: "root"},
		MatchOIDCIdentity: []sourcev1.OIDCIdentityMatch{{
			Issuer: "^https://token\\.actions\\.githubusercontent\\.com$", Subject: "^https://github\\.com/team/app/",
		}},
	}
	all["keyless"] = one
	one.named, one.ours, one.strange = "notation", notation(), notation()
	one.verify = sourcev1.OCIRepositoryVerification{Provider: "notation", SecretRef: &meta.LocalObjectReference{Name: "notary"}}
	all["notation"] = one
	return all
}

// TestWhoIsTrustedChanges: what is in status was verified by whom its Secret trusts now.
func TestWhoIsTrustedChanges(t *testing.T) {
	for title, tc := range technologies(t) {
		t.Run(title, func(t *testing.T) {
			f := setup(t)
			trusts := func(who signer, version string) {
				secret := who.secret.DeepCopy()
				secret.ResourceVersion = version
				f.objects = []client.Object{secret}
				f.swapSecrets()
			}
			trusts(tc.ours, "1")
			f.obj.Spec.Verify = &tc.verify
			first := f.pushFiles("latest", map[string]string{"a.yaml": "a: 1"})
			refused := "failed to verify the signature using provider '" + tc.named + "': no valid signature"
			f.fails(sourcev1.VerificationError, refused)
			tc.strange.sign(f, first)
			f.fails(sourcev1.VerificationError, refused)
			if f.obj.Status.Artifact != nil {
				t.Error("what a stranger signed was published")
			}
			tc.ours.sign(f, first)
			f.must()
			verified := func(status metav1.ConditionStatus, reason, text string) {
				t.Helper()
				c := apimeta.FindStatusCondition(f.obj.Status.Conditions, sourcev1.SourceVerifiedCondition)
				if c == nil || c.Status != status || c.Reason != reason || !strings.HasPrefix(c.Message, text) {
					t.Errorf("SourceVerified is %+v", c)
				}
			}
			verified(metav1.ConditionTrue, meta.SucceededReason, "verified signature of revision latest@"+first)

			second := f.pushFiles("latest", map[string]string{"a.yaml": "a: 2"})
			tc.strange.sign(f, second)
			f.fails(sourcev1.VerificationError, refused)
			verified(metav1.ConditionFalse, sourcev1.VerificationError, refused)
			if diff := cmp.Diff(map[string]string{"a.yaml": "a: 1"}, f.files()); diff != "" {
				t.Errorf("what a stranger signed took the place of what is trusted:\n%s", diff)
			}
			trusts(tc.strange, "2") // the Secret says so now
			f.must()
			verified(metav1.ConditionTrue, meta.SucceededReason, "verified signature of revision latest@"+second)
			trusts(tc.ours, "3")
			f.fails(sourcev1.VerificationError, refused)
			verified(metav1.ConditionFalse, sourcev1.VerificationError, refused)
		})
	}
}

// A trust policy that lets everything pass was shown as a signature that was verified.
func TestAnArtifactOfNobodyIsNotCalledVerified(t *testing.T) {
	for level, want := range map[string]string{
		"skip":  `not verified, as statement "images" of trustpolicy.json wants`,
		"audit": "authenticity: ",
	} {
		t.Run(level, func(t *testing.T) {
			f := setup(t)
			ours, stranger := signaturetest.NewAuthority(t), signaturetest.NewAuthority(t)
			trusts := func(level, version string) {
				secret := ours.Secret(t, namespace)
				secret.ResourceVersion, secret.Data["trustpolicy.json"] = version, signaturetest.TrustPolicy(t, level, "*")
				f.objects = []client.Object{secret}
				f.swapSecrets()
			}
			trusts(level, "1")
			f.obj.Spec.Verify = &sourcev1.OCIRepositoryVerification{
				Provider: "notation", SecretRef: &meta.LocalObjectReference{Name: "notary"},
			}
			digest := f.pushFiles("latest", map[string]string{"a.yaml": "a: 1"})
			image, err := name.NewDigest(f.host+"/"+repository+"@"+digest, name.Insecure)
			if err != nil {
				t.Fatal(err)
			}
			stranger.Sign(t, image, jws.MediaTypeEnvelope)
			f.upstream.Asked()
			verified := func() *metav1.Condition {
				return apimeta.FindStatusCondition(f.obj.Status.Conditions, sourcev1.SourceVerifiedCondition)
			}
			begin := "stored artifact for digest 'latest@" + digest + "'; nobody's signature was verified: " + want
			if got := f.must().Message; !strings.HasPrefix(got, begin) {
				t.Errorf("Ready says %q", got)
			}
			if c := verified(); c != nil {
				t.Errorf("SourceVerified is %+v", c)
			}
			f.upstream.Asked()
			if got := f.must().Message; !strings.HasPrefix(got, begin) {
				t.Errorf("a steady look says %q", got)
			}
			if diff := cmp.Diff([]string{"HEAD /v2/" + repository + "/manifests/latest"}, f.upstream.Asked()); diff != "" {
				t.Errorf("a steady look asks (-want +got):\n%s", diff)
			}
			ours.Sign(t, image, jws.MediaTypeEnvelope)
			trusts("strict", "2")
			f.must()
			if c := verified(); c == nil || c.Status != metav1.ConditionTrue || c.Message != "verified signature of revision latest@"+digest {
				t.Errorf("SourceVerified is %+v", c)
			}
			trusts("skip", "3")
			f.must()
			if c := verified(); c != nil {
				t.Errorf("it stays verified: %+v", c)
			}
		})
	}
}

// Flux accepts keyless signatures by anybody, where this was Stalled. Now SourceVerified tells that it is so.
func TestKeylessWithoutIdentitiesIsVerifiedWithAWarning(t *testing.T) {
	f, s := setup(t), signaturetest.NewSigstore(t)
	f.objects = []client.Object{s.Secret(namespace)}
	f.restart()
	f.obj.Spec.Verify = &sourcev1.OCIRepositoryVerification{Provider: "cosign", TrustedRootSecretRef: &meta.LocalObjectReference{Name: "root"}}
	digest := f.pushFiles("latest", map[string]string{"a.yaml": "a: 1"})
	f.fails(sourcev1.VerificationError, "no valid signature")
	s.Sign(f, f.host+"/"+repository, digest, "mallory@example.com")
	f.must()
	want := "verified signature of revision latest@" + digest + "; anybody with a certificate may have signed: matchOIDCIdentity names nobody"
	c := apimeta.FindStatusCondition(f.obj.Status.Conditions, sourcev1.SourceVerifiedCondition)
	if c == nil || c.Status != metav1.ConditionTrue || c.Message != want {
		t.Errorf("SourceVerified is %+v, want %q", c, want)
	}
}
