// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/keysize/keysizetest"
	"github.com/sluice-cd/sluice/test/make"
)

// certificate signs itself.
type certificate struct{ crt, key []byte }

func newCertificate(t *testing.T, name string) certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{
			CommonName: name,
		}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}),
	}
}

// guarded is a Prometheus that only talks to who has the right certificate.
type guarded struct {
	*httptest.Server
	open atomic.Int32 // connections
}

func newGuarded(t *testing.T, own certificate, friends ...certificate) *guarded {
	t.Helper()
	g := &guarded{}
	g.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.WriteString(w, `{"data":{"resultType":"scalar","result":[1,"1"]}}`)
	}))
	pair, err := tls.X509KeyPair(own.crt, own.key)
	if err != nil {
		t.Fatal(err)
	}
	g.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	if len(friends) > 0 {
		g.TLS.ClientAuth, g.TLS.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		for _, friend := range friends {
			g.TLS.ClientCAs.AppendCertsFromPEM(friend.crt)
		}
	}
	g.Config.ErrorLog = log.New(io.Discard, "", 0)
	g.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			g.open.Add(1)
		case http.StateClosed, http.StateHijacked:
			g.open.Add(-1)
		}
	}
	g.StartTLS()
	t.Cleanup(g.Close)
	return g
}

func guardedTemplate(address string, data map[string][]byte) (*flaggerv1.MetricTemplate, *corev1.Secret) {
	tmpl := &flaggerv1.MetricTemplate{
		ObjectMeta: metav1.ObjectMeta{Namespace: "staging", Name: "errors"},
		Spec: flaggerv1.MetricTemplateSpec{Query: "1", Provider: flaggerv1.MetricTemplateProvider{
			Type: "prometheus", Address: address, SecretRef: &flaggerv1.SecretReference{Name: "login"},
		}},
	}
	return tmpl, make.Secret("staging", "login", data)
}

var byErrors = flaggerv1.CanaryMetric{Name: "errors", TemplateRef: &flaggerv1.CrossNamespaceObjectReference{Name: "errors"}}

func plainCanary() *flaggerv1.Canary {
	return make.Canary("staging", "app", func(c *flaggerv1.Canary) { c.Spec.TargetRef.Name = "podinfo" })
}

func TestCertificatesOfTheSecret(t *testing.T) {
	own, friend, stranger := newCertificate(t, "server"), newCertificate(t, "friend"), newCertificate(t, "stranger")
	server := newGuarded(t, own, friend)
	cases := map[string]struct {
		data map[string][]byte
		want string // of the error
	}{
		"an authority and a certificate": {map[string][]byte{"ca.crt": own.crt, "tls.crt": friend.crt, "tls.key": friend.key}, ""},
		"without the authority":          {map[string][]byte{"tls.crt": friend.crt, "tls.key": friend.key}, "certificate"},
		"without a certificate":          {map[string][]byte{"ca.crt": own.crt}, "certificate required"},
		"with that of a stranger":        {map[string][]byte{"ca.crt": own.crt, "tls.crt": stranger.crt, "tls.key": stranger.key}, "tls"},
		"a certificate without its key waits": {
			map[string][]byte{"tls.crt": friend.crt},
			"secretRef: Secret \"login\": 'tls.crt' and 'tls.key' are no pair",
		},
		"an authority that is none waits": {
			map[string][]byte{"ca.crt": []byte("x")},
			"secretRef: Secret \"login\": 'ca.crt' holds no PEM certificate",
		},
		"an authority with a key that is too large waits": {
			map[string][]byte{"ca.crt": keysizetest.PEM(t, keysizetest.Key(1<<17))},
			"secretRef: Secret \"login\": 'ca.crt', 'tls.crt' or 'tls.key': the key is too large",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tmpl, secret := guardedTemplate(server.URL, tc.data)
			_, err := testChecker(t, tmpl, secret).Check(t.Context(), plainCanary(), byErrors)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("want %q, got %v", tc.want, err)
			}
			if errors.Is(err, reconcile.TerminalError(nil)) {
				t.Errorf("who writes the Secret can repair it: %v", err)
			}
		})
	}
}

// TestASecretThatRotatesLeavesNoConnections: a transport per Secret that nobody
// closes keeps its connections, and the old key with them.
func TestASecretThatRotatesLeavesNoConnections(t *testing.T) {
	own := newCertificate(t, "server")
	first, second := newCertificate(t, "first"), newCertificate(t, "second")
	server := newGuarded(t, own, first, second)
	tmpl, secret := guardedTemplate(server.URL, map[string][]byte{"ca.crt": own.crt, "tls.crt": first.crt, "tls.key": first.key})
	k := testChecker(t, tmpl, secret)
	check := func() {
		t.Helper()
		if _, err := k.Check(t.Context(), plainCanary(), byErrors); err != nil {
			t.Fatal(err)
		}
	}
	check()
	check()
	if n := server.open.Load(); n != 1 {
		t.Fatalf("%d connections with the first certificate", n)
	}
	secret.Data["tls.crt"], secret.Data["tls.key"] = second.crt, second.key
	if err := k.client.(client.Client).Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	check()
	settles(t, server, 1)
	if n := k.transports.Len(); n != 1 {
		t.Errorf("%d transports are kept", n)
	}
	if err := k.client.(client.Client).Delete(t.Context(), tmpl); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Check(t.Context(), plainCanary(), byErrors); err == nil {
		t.Fatal("measured with a template that is gone")
	}
	settles(t, server, 0)
	if n := k.transports.Len(); n != 0 {
		t.Errorf("%d transports outlive their template", n)
	}
}

// settles waits until a server has so many connections.
func settles(t *testing.T, server *guarded, want int32) {
	t.Helper()
	deadline := time.After(5 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for server.open.Load() != want {
		select {
		case <-deadline:
			t.Fatalf("%d connections, not %d", server.open.Load(), want)
		case <-tick.C:
		}
	}
}
