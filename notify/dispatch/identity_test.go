// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/internal/keysize"
	"github.com/sluice-cd/sluice/internal/keysize/keysizetest"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/notify/message"
	"github.com/sluice-cd/sluice/test/make"
)

// The client of the forge trusts caFile, and so the controller's own token of Azure would
// go to whoever has a certificate of that authority.
func TestTheControllersTokenIsNotSentPastAnAuthorityOfASecret(t *testing.T) {
	for name, tc := range map[string]struct {
		key     string
		refused bool
	}{
		"ca.crt":                  {"ca.crt", true},
		"caFile":                  {"caFile", true},
		"a token of the tenant's": {"bearerToken", false},
	} {
		t.Run(name, func(t *testing.T) {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "s"}, Data: map[string][]byte{tc.key: []byte("x")}}
			d := &providers{opts: Options{Live: fake.NewClientBuilder().WithObjects(secret).Build()}}
			to, err := d.resolve(t.Context(), &v1beta3.Provider{ObjectMeta: metav1.ObjectMeta{Namespace: "apps"}, Spec: v1beta3.ProviderSpec{
				Type: azureDevOps, Address: "https://dev.azure.com/o/p/_git/r", SecretRef: &meta.LocalObjectReference{Name: "s"},
			}})
			if err != nil {
				t.Fatal(err)
			}
			if err := d.checkAccount(to); (err != nil) != tc.refused {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A Secret without certificates was taken as one that trusts the system's.
func TestCertificatesOfASecretAreThere(t *testing.T) {
	for name, tc := range map[string]struct {
		data    map[string][]byte
		refused bool
	}{
		"an authority":                {map[string][]byte{"ca.crt": []byte("x")}, false},
		"one by its former name":      {map[string][]byte{"caFile": []byte("x")}, false},
		"a client's alone":            {map[string][]byte{"tls.crt": []byte("x"), "tls.key": []byte("x")}, false},
		"a client's without its key":  {map[string][]byte{"ca.crt": []byte("x"), "tls.crt": []byte("x")}, true},
		"a misspelt key, and no more": {map[string][]byte{"ca.cert": []byte("x")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			secret := make.Secret("apps", "s", tc.data)
			d := &providers{opts: Options{Live: fake.NewClientBuilder().WithObjects(secret).Build()}}
			_, err := d.resolve(t.Context(), &v1beta3.Provider{ObjectMeta: metav1.ObjectMeta{Namespace: "apps"}, Spec: v1beta3.ProviderSpec{
				Type: "generic", Address: "https://a", CertSecretRef: &meta.LocalObjectReference{Name: "s"},
			}})
			if (err != nil) != tc.refused || err != nil && !strings.Contains(err.Error(), "spec.certSecretRef: secret 'apps/s': it needs 'ca.crt'") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The library that gets the tokens of a cloud dials the proxy itself: one by a name that leads
// to the controller's own loopback addresses was reached.
func TestATokenIsNotAskedForThroughAProxyAtAForbiddenAddress(t *testing.T) {
	d := &providers{opts: Options{Guard: outbound.NewGuard(nil)}}
	to := &resolvedProvider{provider: &v1beta3.Provider{}, proxy: &url.URL{Scheme: "http", Host: "localhost:1"}}
	if _, err := d.cloudToken(t.Context(), to, "azure", "scope"); !errors.Is(err, outbound.ErrForbiddenAddress) {
		t.Errorf("got %v", err)
	}
}

func TestAProviderCannotAskForAnAttemptOfHours(t *testing.T) {
	p := &v1beta3.Provider{Spec: v1beta3.ProviderSpec{Timeout: &metav1.Duration{Duration: 59 * time.Hour}}}
	if got := p.GetTimeout(); got != time.Minute {
		t.Errorf("got %s", got)
	}
}

func TestAKeyFileOfAHugeKeyIsRefused(t *testing.T) {
	public, err := x509.MarshalPKIXPublicKey(keysizetest.Key(1 << 18))
	if err != nil {
		t.Fatal(err)
	}
	key, err := json.Marshal(map[string]string{
		"type": "service_account", "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
	})
	if err != nil {
		t.Fatal(err)
	}
	to := &resolvedProvider{provider: &v1beta3.Provider{}, target: message.Target{Token: string(key)}}
	if _, err := (&providers{}).keyFile(t.Context(), to, "scope"); !errors.Is(err, keysize.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestConnectionsWithAFormerPasswordOfAProxyAreDropped(t *testing.T) {
	d := &providers{transports: outbound.NewTransports(nil)}
	provider := &v1beta3.Provider{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "chat"}}
	for _, password := range []string{"old", "new"} {
		settings := outbound.Settings{Proxy: "http://user:" + password + "@proxy.example:3128"}
		if _, err := d.transport(&resolvedProvider{provider: provider, settings: settings}); err != nil || d.transports.Len() != 1 {
			t.Errorf("%d transports: %v", d.transports.Len(), err)
		}
	}
	if (&Dispatcher{providers: d}).Forget(client.ObjectKeyFromObject(provider)); d.transports.Len() != 0 {
		t.Error("the connections of a Provider that is gone are kept")
	}
}
