// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/auth"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/apply/decrypt"
)

// Decryption is what Kustomizations with spec.decryption are served with.
type Decryption struct {
	// Services reach the key services.
	Services *decrypt.Services
	// AgeSecret has age keys for Kustomizations that name no Secret; without a name there
	// is none.
	AgeSecret types.NamespacedName
	// DefaultAccount asks key services for Kustomizations that name no ServiceAccount; ""
	// is the controller itself.
	DefaultAccount string
}

// errGate says that a field needs a feature gate that is off.
var errGate = errors.New("please enable the " + auth.FeatureGateObjectLevelWorkloadIdentity + " feature gate in the controller")

// keySecret names the Secret with the keys of k; without a name there is none.
func (d *Decryption) keySecret(k *kustomizev1.Kustomization) types.NamespacedName {
	switch {
	case k.Spec.Decryption == nil:
		return types.NamespacedName{}
	case k.Spec.Decryption.SecretRef != nil:
		return types.NamespacedName{Namespace: k.Namespace, Name: k.Spec.Decryption.SecretRef.Name}
	}
	return d.AgeSecret
}

// secretField is what names the Secret of [Decryption.keySecret].
func (*Decryption) secretField(k *kustomizev1.Kustomization) string {
	if k.Spec.Decryption.SecretRef != nil {
		return "spec.decryption.secretRef"
	}
	return "--sops-age-secret"
}

// whoseKeys says in an error where keys come from.
func (d *Decryption) whoseKeys(k *kustomizev1.Kustomization) string {
	name := d.keySecret(k)
	if name.Name == "" {
		return "neither spec.decryption.secretRef nor --sops-age-secret names a Secret with keys"
	}
	return fmt.Sprintf("the Secret with keys is '%s', of %s", name, d.secretField(k))
}

// keys are the data of a Secret with keys.
type keys struct {
	data      map[string][]byte
	selection decrypt.KeySelection
}

// digest identifies keys without telling them.
func (k keys) digest() string {
	if k.data == nil {
		return ""
	}
	text, err := json.Marshal(k.data)
	if err != nil {
		return err.Error() // see digestOf
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// readKeys reads the keys of k, and the version of their Secret if it is one of the
// namespace.
func (d *Decryption) readKeys(ctx context.Context, live client.Reader, k *kustomizev1.Kustomization, seen inputs) (keys, error) {
	name := d.keySecret(k)
	if name.Name == "" {
		return keys{}, nil
	}
	var secret corev1.Secret
	if err := live.Get(ctx, name, &secret); err != nil {
		return keys{}, fmt.Errorf("%s: cannot get sops decryption Secret '%s': %w", d.secretField(k), name, err)
	}
	found := keys{data: secret.Data}
	if k.Spec.Decryption.SecretRef == nil {
		found.selection = decrypt.AgeKeys
	} else {
		seen[input{"Secret", name.Name}] = secret.ResourceVersion
	}
	return found, nil
}

// decrypting runs a build with the keys of k, which are dropped with it. What was secret
// is returned beside the objects, so that no error shows it.
func (d *Decryption) decrypting(ctx context.Context, k *kustomizev1.Kustomization, with keys,
	build func(build.Decrypt) (*build.Result, error),
) (*build.Result, error) {
	if k.Spec.Decryption == nil {
		return build(nil)
	}
	who := decrypt.Requester{Kind: kustomizev1.KustomizationKind, Owner: keyOf(k), Account: k.Spec.Decryption.ServiceAccountName}
	if who.Account == "" {
		who.Account = d.DefaultAccount
	}
	decrypter, err := d.Services.New(ctx, with.data, with.selection, who)
	if err != nil {
		return nil, fmt.Errorf("%s: sops decryption Secret '%s': %w", d.secretField(k), d.keySecret(k), err)
	}
	result, err := build(func(data []byte, name string) ([]byte, error) {
		plain, err := decrypter.Decrypt(ctx, data, name)
		if errors.Is(err, decrypt.ErrDecrypt) {
			err = fmt.Errorf("%w (%s)", err, d.whoseKeys(k))
		}
		return plain, err
	})
	if err != nil {
		return nil, decrypter.Mask().Error(err)
	}
	result.Decrypted = decrypter.Mask()
	return result, nil
}

// refuseDecryption refuses what cannot be decrypted with; nil if k can be.
func refuseDecryption(k *kustomizev1.Kustomization) error {
	switch d := k.Spec.Decryption; {
	case d == nil:
		return nil
	case d.Provider != "sops":
		return fmt.Errorf("%w: spec.decryption.provider is sops, not %q", errUnsupported, d.Provider)
	case d.ServiceAccountName != "" && !auth.IsObjectLevelWorkloadIdentityEnabled():
		return fmt.Errorf("to use spec.decryption.serviceAccountName for decryption authentication %w", errGate)
	}
	return nil
}
