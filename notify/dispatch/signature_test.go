// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/test/make"
)

// A Secret made of a file that ends with a line break has it in the token, and receivers with the same
// Secret, Flux's and ours, verify with all of it: each message was refused.
func TestASignatureIsMadeWithTheWholeToken(t *testing.T) {
	const token = "secret\n"
	var signed, want string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mac := hmac.New(sha256.New, []byte(token))
		mac.Write(body)
		signed, want = r.Header.Get("X-Signature"), "sha256="+hex.EncodeToString(mac.Sum(nil))
	}))
	defer server.Close()
	secret := make.Secret("apps", "hook", map[string]string{"token": token})
	b := newTestEnv(t, nil, alert(), secret, provider(server.URL, func(p *v1beta3.Provider) {
		p.Spec.Type, p.Spec.SecretRef = "generic-hmac", &meta.LocalObjectReference{Name: "hook"}
	}))
	b.Take(t.Context(), event("done"))
	b.deliver(t)
	if signed == "" || signed != want {
		t.Errorf("signed %q, want %q: %v", signed, want, b.told.all)
	}
}
