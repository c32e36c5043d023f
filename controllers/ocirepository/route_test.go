// SPDX-License-Identifier: Apache-2.0

package ocirepository

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/internal/registry/registrytest"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

func ref(name string) *meta.LocalObjectReference { return &meta.LocalObjectReference{Name: name} }

// TestARegistryBehindCertificates has one with an authority of its own, which wants a
// client certificate and a password.
func TestARegistryBehindCertificates(t *testing.T) {
	f := setup(t)
	f.pushFiles("latest", map[string]string{"a.yaml": "a"})
	door := gitserver.New(t, gitserver.WithClientCertificates()) // for its client certificate
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(door.Cert)
	front := httptest.NewUnstartedServer(registrytest.Guarded(proxied(f)))
	front.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, MinVersion: tls.VersionTLS12}
	front.StartTLS()
	t.Cleanup(front.Close)
	host := strings.TrimPrefix(front.URL, "https://")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	f.obj.Spec.URL = "oci://" + host + "/" + repository

	f.fails(sourcev1.OCIPullFailedReason, "certificate")
	f.obj.Spec.CertSecretRef = ref("tls")
	f.fails(sourcev1.AuthenticationFailedReason, "spec.certSecretRef")
	secret := registrytest.Secret("tls", map[string]string{"ca.crt": string(ca)})
	f.objects = append(f.objects, secret)
	f.restart()
	f.fails(sourcev1.OCIPullFailedReason, "certificate required")
	secret.Data["tls.crt"], secret.Data["tls.key"] = door.Cert, door.Key
	f.restart()
	f.fails(sourcev1.OCIPullFailedReason, "set spec.secretRef")
	f.objects = append(f.objects, registrytest.DockerConfig("login", host, "ann", "pw"))
	f.obj.Spec.SecretRef = ref("login")
	f.restart()
	f.must()
	if diff := cmp.Diff(map[string]string{"a.yaml": "a"}, f.files()); diff != "" {
		t.Error(diff)
	}
}

// With insecure, Flux verifies no certificate.
func TestAnInsecureRegistryMayHaveACertificateOfItsOwn(t *testing.T) {
	f := setup(t)
	f.pushFiles("latest", map[string]string{"a.yaml": "a"})
	front := httptest.NewTLSServer(proxied(f))
	t.Cleanup(front.Close)
	f.obj.Spec.URL = "oci://" + strings.TrimPrefix(front.URL, "https://") + "/" + repository
	f.fails(sourcev1.OCIPullFailedReason, "certificate")
	f.obj.Spec.Insecure = true
	f.must()
	if diff := cmp.Diff(map[string]string{"a.yaml": "a"}, f.files()); diff != "" {
		t.Error(diff)
	}
}

// proxied is the registry of a fixture by another door.
func proxied(f *fixture) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Authorization")
		request := r.Clone(r.Context())
		request.URL.Scheme, request.URL.Host, request.RequestURI = "http", f.host, ""
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer func() { _ = response.Body.Close() }()
		for key, values := range response.Header {
			w.Header()[key] = values
		}
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(w, response.Body)
	})
}

func TestARegistryBehindAProxy(t *testing.T) {
	f := setup(t)
	f.pushFiles("latest", map[string]string{"a.yaml": "a"})
	proxy := gitserver.NewProxy(t, "user", "secret")
	f.obj.Spec.ProxySecretRef = ref("proxy")
	f.fails(sourcev1.AuthenticationFailedReason, "spec.proxySecretRef")
	login := map[string]string{"address": proxy.URL, "username": "user", "password": "wrong"}
	f.objects = append(f.objects, registrytest.Secret("proxy", login))
	f.restart()
	err := f.failure(sourcev1.OCIPullFailedReason, "failed to determine artifact digest")
	if strings.Contains(err.Error(), "wrong") {
		t.Errorf("the error shows the password: %v", err)
	}
	login["password"] = "secret"
	f.objects = append(f.objects[:0], registrytest.Secret("proxy", login))
	f.restart()
	f.must()
	if proxy.Requests() == 0 {
		t.Error("nothing went through the proxy")
	}
}

// TestADeadRegistry: one that is not there fails, one that says nothing does so within the
// timeout, and in either case what was fetched before stays.
func TestADeadRegistry(t *testing.T) {
	f := setup(t)
	f.pushFiles("latest", map[string]string{"a.yaml": "a"})
	f.must()
	f.upstream.Answer(func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	})
	f.obj.Spec.Timeout = &metav1.Duration{Duration: 200 * time.Millisecond}
	f.fails(sourcev1.OCIPullFailedReason, "failed to determine artifact digest")
	f.upstream.Answer(nil)
	f.obj.Spec.Timeout = nil
	f.must()
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	f.obj.Spec.URL = "oci://" + strings.TrimPrefix(dead.URL, "http://") + "/" + repository
	f.fails(sourcev1.OCIPullFailedReason, "connection refused")
	if diff := cmp.Diff(map[string]string{"a.yaml": "a"}, f.files()); diff != "" {
		t.Error(diff)
	}
}
