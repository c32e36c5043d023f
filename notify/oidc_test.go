// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/go-jose/go-jose/v4"

	"github.com/sluice-cd/sluice/internal/keysize/keysizetest"
)

// issuer is an OpenID provider on loopback, with one key.
type issuer struct {
	*httptest.Server
	signer jose.Signer
	others []jose.JSONWebKey // beside the one that signs
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{signer: signer}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL, "token_endpoint": i.URL,
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		keys := append([]jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "RS256"}}, i.others...)
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: keys})
	})
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	return i
}

// token is a bearer token with the claims, valid but for what they change.
func (i *issuer) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"iss": i.URL, "aud": "sluice", "exp": time.Now().Add(time.Minute).Unix(), "sub": "ci"}
	for k, v := range claims {
		all[k] = v
	}
	payload, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := i.signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signature.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + raw
}

func TestTokensOfIssuersAreVerified(t *testing.T) {
	trusted, stranger := newIssuer(t), newIssuer(t)
	w := newTestServer(t, func(r *notificationv1.Receiver) {
		r.Spec.Type, r.Spec.SecretRef = notificationv1.GenericOIDCReceiver, nil
		r.Spec.OIDCProviders = []notificationv1.OIDCProvider{{
			IssuerURL: trusted.URL, Audience: "sluice",
			Variables: []notificationv1.OIDCVariable{
				{Name: "owner", Expression: `claims.repository.split("/")[0]`},
				{Name: "mine", Expression: `vars.owner == "team"`},
			},
			Validations: []notificationv1.OIDCValidation{{Expression: `vars.mine`, Message: "only the team may"}},
		}}
		r.Spec.ResourceFilter = `claims.repository == "team/app"`
	})
	ours := map[string]any{"repository": "team/app"}
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"` + trusted.URL + `"}`))
	for name, token := range map[string]string{
		"no token":                        "",
		"a token that is not a JWT":       "Bearer x.y",
		"an unsigned token":               "Bearer e30." + unsigned + ".",
		"a token of another issuer":       stranger.token(t, ours),
		"a token that claims this issuer": stranger.token(t, map[string]any{"iss": trusted.URL, "repository": "team/app"}),
		"a token for another audience":    trusted.token(t, map[string]any{"aud": "else", "repository": "team/app"}),
		"an expired token":                trusted.token(t, map[string]any{"exp": 1, "repository": "team/app"}),
		"a claim of another value":        trusted.token(t, map[string]any{"repository": "else/app"}),
		"a claim that is missing":         trusted.token(t, nil),
	} {
		if got := w.post(request{}.with("Authorization", token)); got != http.StatusBadRequest {
			t.Errorf("%s: answered %d", name, got)
		}
	}
	if w.requested() != "" {
		t.Error("a forged token has an effect")
	}
	code := w.post(request{}.with("Authorization", trusted.token(t, ours)))
	if code != http.StatusOK || w.requested() != "GitRepository/repo" {
		t.Errorf("answered %d (%s), requested %q", code, w.answer, w.requested())
	}
}

// A signature for a key of a million bits takes minutes to be verified.
func TestAnIssuerWithAKeyThatIsTooLargeIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		other jose.JSONWebKey
		want  int
	}{
		"a usual key": {jose.JSONWebKey{Key: keysizetest.Key(4096), KeyID: "2"}, http.StatusOK},
		"a large key": {jose.JSONWebKey{Key: keysizetest.Key(1 << 20), KeyID: "2"}, http.StatusBadRequest},
	} {
		issuer := newIssuer(t)
		issuer.others = []jose.JSONWebKey{tc.other}
		w := newTestServer(t, func(r *notificationv1.Receiver) {
			r.Spec.Type, r.Spec.SecretRef = notificationv1.GenericOIDCReceiver, nil
			r.Spec.OIDCProviders = []notificationv1.OIDCProvider{{
				IssuerURL: issuer.URL, Audience: "sluice",
				Validations: []notificationv1.OIDCValidation{{Expression: "true", Message: "anybody"}},
			}}
		})
		if got := w.post(request{}.with("Authorization", issuer.token(t, nil))); got != tc.want {
			t.Errorf("%s: answered %d, want %d", name, got, tc.want)
		}
	}
}

func TestPubSubIsAuthenticatedByGooglesToken(t *testing.T) {
	google := newIssuer(t)
	w := newTestServer(t, func(r *notificationv1.Receiver) { r.Spec.Type = notificationv1.GCRReceiver })
	w.hooks.GoogleIssuer = google.URL
	body := `{"message":{"data":"` + base64.StdEncoding.EncodeToString([]byte(`{"action":"INSERT","tag":"gcr.io/team/app:1.0"}`)) + `"}}`
	send := func(claims map[string]any) int {
		return w.post(request{body: body}.with("Authorization", google.token(t, claims)))
	}
	for name, claims := range map[string]map[string]any{
		"another account":       {"email": "else@example.com", "email_verified": true},
		"an unverified address": {"email": "push@example.com", "email_verified": false},
		"another audience":      {"email": "push@example.com", "email_verified": true, "aud": "else"},
	} {
		if code := send(claims); code != http.StatusBadRequest {
			t.Errorf("%s: answered %d", name, code)
		}
	}
	code := send(map[string]any{"email": "push@example.com", "email_verified": true})
	if code != http.StatusOK || w.requested() != "GitRepository/repo" {
		t.Errorf("answered %d, requested %q", code, w.requested())
	}
}
