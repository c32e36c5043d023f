// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"crypto"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	upstream "github.com/sigstore/cosign/v3/pkg/cosign"
	ociremote "github.com/sigstore/cosign/v3/pkg/oci/remote"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

// TestCosignAgrees holds the verdicts, and the signatures that these tests make,
// against cosign's own verification with a key.
func TestCosignAgrees(t *testing.T) {
	for layout, tc := range layouts {
		t.Run(layout, func(t *testing.T) {
			h := newHost(t, tc.referrers)
			image := h.image()
			k, other := newKey(t, p256), newKey(t, p256)
			tc.put(h, image, k)
			for _, key := range []keyPair{k, other} {
				_, ours := h.byKeys(map[string][]byte{"a.pub": key.pub}).Verify(t.Context(), image)
				theirs := h.askCosign(image, key.pub)
				if (ours == nil) != (theirs == nil) {
					t.Errorf("we say %v, cosign says %v", ours, theirs)
				}
			}
		})
	}
}

// askCosign verifies as `cosign verify --key` does.
func (h *host) askCosign(image name.Digest, pub []byte) error {
	h.t.Helper()
	public, err := cryptoutils.UnmarshalPEMToPublicKey(pub)
	must(h.t, err)
	v, err := signature.LoadVerifier(public, crypto.SHA256)
	must(h.t, err)
	options := &upstream.CheckOpts{
		NewBundleFormat: true, Offline: true, IgnoreTlog: true, SigVerifier: v,
		ClaimVerifier:      upstream.IntotoSubjectClaimVerifier,
		RegistryClientOpts: []ociremote.Option{ociremote.WithRemoteOptions(h.opts...)},
	}
	bundles, _, err := upstream.GetBundles(h.t.Context(), image, options.RegistryClientOpts, name.Insecure)
	if len(bundles) > 0 && err == nil {
		_, _, err = upstream.VerifyImageAttestations(h.t.Context(), image, options, name.Insecure)
		return err
	}
	options.NewBundleFormat = false
	options.ExperimentalOCI11 = true
	options.ClaimVerifier = upstream.SimpleClaimVerifier
	_, _, err = upstream.VerifyImageSignatures(h.t.Context(), image, options)
	return err
}
