// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/getsops/sops/v3/hcvault"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/test/fake/apiserver"
	"github.com/sluice-cd/sluice/test/make"
	"github.com/sluice-cd/sluice/test/sops"
)

const secretPath = "/api/v1/namespaces/ns/secrets/db"

func secretManifest(password string) string {
	return "apiVersion: v1\nkind: Secret\nmetadata:\n    name: db\n    namespace: ns\nstringData:\n    password: " + password + "\n"
}

func sealedSecret(t *testing.T, key sops.AgeKey, password string) map[string]string {
	t.Helper()
	return map[string]string{"a.yaml": string(key.Encrypt(t, sops.File{
		Name: "a.yaml", Regex: "^(data|stringData)$", Plain: secretManifest(password),
	}))}
}

// keys puts age keys into a Secret.
func (e *testEnv) keys(namespace string, keys ...sops.AgeKey) {
	e.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "sops"}, Data: map[string][]byte{}}
	for _, key := range keys {
		secret.Data["k.agekey"] = append(secret.Data["k.agekey"], key.Private()...)
	}
	if err := e.client.Create(e.t.Context(), secret); apierrors.IsAlreadyExists(err) {
		err = e.client.Update(e.t.Context(), secret)
		if err != nil {
			e.t.Fatal(err)
		}
	}
}

func decryptingApp() *kustomizev1.Kustomization {
	k := app("a")
	k.Generation = 1
	k.Spec.Decryption = &kustomizev1.Decryption{Provider: "sops", SecretRef: &meta.LocalObjectReference{Name: "sops"}}
	return k
}

func password(u *unstructured.Unstructured) string {
	if u == nil {
		return ""
	}
	value, _, _ := unstructured.NestedString(u.Object, "data", "password")
	text, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func TestEncryptedManifestsAreApplied(t *testing.T) {
	e, key := newTestEnv(t), sops.NewAgeKey(t)
	e.commit("main@sha1:1", sealedSecret(t, key, "hunter2"))
	k := decryptingApp()
	if _, err := e.run(k); err == nil || !strings.Contains(err.Error(), "cannot get sops decryption Secret 'ns/sops'") || errors.Is(err,
		reconcile.TerminalError(nil)) {
		t.Fatalf("without the Secret: %v", err)
	}
	e.keys("ns", sops.NewAgeKey(t))
	if _, err := e.built(k); err == nil || !strings.Contains(err.Error(), "none of the age keys fits") || errors.Is(err,
		reconcile.TerminalError(nil)) {
		t.Fatalf("with another key: %v", err)
	}
	e.keys("ns", key)
	e.must(k)
	if got := password(e.cluster.Get(secretPath)); got != "hunter2" {
		t.Errorf("applied %s", got)
	}
	if built := e.states.get(keyOf(k)).previous.Built; built == nil || strings.Contains(built.Variables, "AGE-SECRET") {
		t.Errorf("remembered %v", built)
	}
}

// A key that is replaced decrypts the same commit again, and nobody has to ask for it.
func TestNewKeysCount(t *testing.T) {
	e, first, second := newTestEnv(t), sops.NewAgeKey(t), sops.NewAgeKey(t)
	e.keys("ns", first)
	e.commit("main@sha1:1", sealedSecret(t, first, "one"))
	k := decryptingApp()
	e.must(k)
	if !readsInputs(k) || inputsOf(k)[0] != "Secret/ns/sops" {
		t.Error("the Secret is not watched")
	}
	e.keys("ns", second)
	if !changedInputs(t.Context(), e.client, "ns", e.states.get(keyOf(k)).inputs) {
		t.Error("another version of the Secret is no news")
	}
	e.commit("main@sha1:2", sealedSecret(t, second, "two"))
	e.must(k)
	if got := password(e.cluster.Get(secretPath)); got != "two" {
		t.Errorf("applied %s", got)
	}
}

func TestDecryptedValuesAreNotTold(t *testing.T) {
	e, key := newTestEnv(t), sops.NewAgeKey(t)
	e.keys("ns", key)
	e.cluster.Hook = func(r apiserver.Request) error {
		if r.Method == http.MethodPatch && strings.HasPrefix(r.Path, secretPath) {
			return apierrors.NewBadRequest("the value hunter2 is no good")
		}
		return nil
	}
	e.commit("main@sha1:1", sealedSecret(t, key, "hunter2"))
	_, err := e.run(decryptingApp())
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "Secret/ns/db apply failed") {
		t.Errorf("got %v", err)
	}
}

func TestTheAgeSecretOfTheControllerIsForThoseThatNameNone(t *testing.T) {
	e, key := newTestEnv(t), sops.NewAgeKey(t)
	e.keys("flux-system", key)
	e.Decryption.AgeSecret = types.NamespacedName{Namespace: "flux-system", Name: "sops"}
	e.commit("main@sha1:1", sealedSecret(t, key, "hunter2"))
	k := decryptingApp()
	k.Spec.Decryption.SecretRef = nil
	e.must(k)
	if got := password(e.cluster.Get(secretPath)); got != "hunter2" {
		t.Errorf("applied %s", got)
	}
}

func TestDecryptionThatCannotBe(t *testing.T) {
	e := newTestEnv(t)
	e.commit("main@sha1:1", map[string]string{"a.yaml": configMap("a", "1")})
	k := decryptingApp()
	k.Spec.Decryption.Provider = "other"
	if _, err := e.run(k); !errors.Is(err, reconcile.TerminalError(nil)) || e.Reason(err) != "UnsupportedField" {
		t.Errorf("another provider: %v", err)
	}
	k.Spec.Decryption = &kustomizev1.Decryption{Provider: "sops", ServiceAccountName: "kms"}
	if _, err := e.run(k); !errors.Is(err, reconcile.TerminalError(nil)) || e.Reason(err) != meta.FeatureGateDisabledReason ||
		!strings.Contains(err.Error(), "please enable the ObjectLevelWorkloadIdentity feature gate") {
		t.Errorf("without the feature gate: %v", err)
	}
}

// The message spoke of a Secret where there was none, and did not name the one that there was.
func TestWhereKeysComeFromIsSaid(t *testing.T) {
	e := newTestEnv(t)
	e.commit("main@sha1:1", sealedSecret(t, sops.NewAgeKey(t), "hunter2"))
	e.keys("ns", sops.NewAgeKey(t))
	k := decryptingApp()
	if _, err := e.built(k); err == nil || !strings.Contains(err.Error(), "the Secret with keys is 'ns/sops'") ||
		!strings.Contains(err.Error(), ", of spec.decryption.secretRef") {
		t.Errorf("with a Secret: %v", err)
	}
	k.Spec.Decryption.SecretRef = nil
	if _, err := e.built(k); err == nil || !strings.Contains(err.Error(), "there is no key *.agekey "+
		"(neither spec.decryption.secretRef nor --sops-age-secret names a Secret with keys)") {
		t.Errorf("without: %v", err)
	}
}

func TestAKeyServiceThatNeverAnswersHoldsUpNobodyElse(t *testing.T) {
	e, dataKey := newTestEnv(t), sops.DataKey()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0") // the kernel takes connections, and nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	e.Decryption.Services.Timeout = time.Second
	vault := hcvault.NewMasterKey("http://"+listener.Addr().String(), "sops", "first")
	vault.EncryptedKey = "vault:v1:abc"
	sealed := sops.Encrypt(t, sops.File{Name: "a.yaml", Regex: "^(data|stringData)$", Plain: secretManifest("hunter2")}, dataKey, vault)
	secret := make.Secret("ns", "sops", map[string]string{"sops.vault-token": "t"})
	if err := e.client.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	e.commit("main@sha1:1", map[string]string{"secret/a.yaml": string(sealed), "plain/b.yaml": configMap("b", "one")})
	e.builds.Patience = time.Nanosecond
	k, other := decryptingApp(), app("b")
	k.Spec.Path, other.Spec.Path = "secret", "plain"
	if result, err := e.run(k); err != nil || !strings.HasPrefix(result.Message, "Building ") {
		t.Fatalf("a worker waits for the key service: %+v, %v", result, err)
	}
	e.must(other)
	if valueOf(e.cluster.Get(pathOf("b"))) != "one" {
		t.Error("the other one was not applied")
	}
	want := `"Vault http://` + listener.Addr().String() + ` sops/first": it did not answer within 1s`
	if _, err := e.built(k); err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, reconcile.TerminalError(nil)) {
		t.Errorf("got %v, want %s", err, want)
	}
}
