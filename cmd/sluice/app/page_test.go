// SPDX-License-Identifier: Apache-2.0

package app

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"github.com/sluice-cd/sluice/internal/outbound"
)

func TestTheProviderThatPeopleSignInAtIsAskedWithinBounds(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another server was asked") }))
	defer elsewhere.Close()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		case "/endless":
			_, _ = io.Copy(w, strings.NewReader(strings.Repeat("x", maxProviderAnswer+1)))
		}
	}))
	defer server.Close()
	caFile := filepath.Join(t.TempDir(), "ca.crt")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(caFile, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	trusting := oidcFlags{caFile: caFile}
	for name, tc := range map[string]struct {
		flags oidcFlags
		path  string
		want  error
		fails bool
	}{
		"the authority of --ui-oidc-ca-file is trusted": {trusting, "/", nil, false},
		"none but those of the system otherwise":        {oidcFlags{}, "/", nil, true},
		"a code and a secret stay with the provider":    {trusting, "/away", outbound.ErrRedirect, true},
		"an answer without end is not read to it":       {trusting, "/endless", outbound.ErrTooLarge, true},
	} {
		t.Run(name, func(t *testing.T) {
			provider, err := tc.flags.provider()
			if err != nil {
				t.Fatal(err)
			}
			resp, err := provider.Client.Post(server.URL+tc.path, "text/plain", strings.NewReader("code"))
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			if (err != nil) != tc.fails || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTheCertificateIsServedOverHTTP2(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	of := httptest.NewUnstartedServer(nil)
	of.StartTLS()
	of.Close()
	key, err := x509.MarshalPKCS8PrivateKey(of.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: of.Certificate().Raw}, keyFile: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	certs, err := certwatcher.New(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	server.Listener = tls.NewListener(server.Listener, tlsOf(certs))
	server.Start()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(of.Certificate())
	for want, http2 := range map[string]bool{"HTTP/2.0": true, "HTTP/1.1": false} {
		client := &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, ForceAttemptHTTP2: http2,
		}}
		answer, err := client.Get("https://" + server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(answer.Body)
		if _ = answer.Body.Close(); err != nil || string(got) != want {
			t.Errorf("got %q, want %s: %v", got, want, err)
		}
	}
}
