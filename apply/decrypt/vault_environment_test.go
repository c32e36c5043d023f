// SPDX-License-Identifier: Apache-2.0

package decrypt

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/auth"
	"github.com/getsops/sops/v3/hcvault"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/test/sops"
)

// privateVault is a Vault behind an authority that nobody knows, which serves the namespace team alone.
func privateVault(t *testing.T, dataKey []byte) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := map[string]any{"data": map[string]string{"plaintext": base64.StdEncoding.EncodeToString(dataKey)}}
		if r.URL.Path == "/v1/auth/kubernetes/login" {
			answer = map[string]any{"auth": map[string]string{"client_token": "s.token"}}
		} else if r.Header.Get("X-Vault-Token") != "s.token" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if r.Header.Get("X-Vault-Namespace") != "team" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// A Vault that Flux reached by the environment of its controller was not reached, and all that was said of its
// certificate was that it could not be.
func TestAVaultIsReachedAsTheEnvironmentOfTheControllerSays(t *testing.T) {
	auth.EnableObjectLevelWorkloadIdentity()
	t.Cleanup(auth.DisableObjectLevelWorkloadIdentity)
	const authority, skip, namespace, name = "VAULT_CACERT", "VAULT_SKIP_VERIFY", "VAULT_NAMESPACE", "VAULT_TLS_SERVER_NAME"
	for title, tc := range map[string]struct {
		environment map[string]string // in which AUTHORITY is a file with the Vault's own
		want        string
	}{
		"its authority and its namespace": {map[string]string{authority: "AUTHORITY", namespace: "team"}, ""},
		"no authority at all":             {map[string]string{skip: "true", namespace: "team"}, ""},
		"another namespace":               {map[string]string{authority: "AUTHORITY", namespace: "other"}, "it answers 404 Not Found"},
		"nothing":                         {nil, "its certificate is signed by an unknown authority"},
		"another name than the certificate": {
			map[string]string{authority: "AUTHORITY", name: "vault.test"}, "its certificate is for other names",
		},
		"an authority in a file that is not": {map[string]string{authority: "/none"}, "VAULT_* in the environment of the controller: "},
	} {
		for _, login := range []bool{false, true} {
			t.Run(title, func(t *testing.T) {
				dataKey := sops.DataKey()
				vault := privateVault(t, dataKey)
				file := filepath.Join(t.TempDir(), "ca.pem")
				ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: vault.Certificate().Raw})
				if err := os.WriteFile(file, ca, 0o600); err != nil {
					t.Fatal(err)
				}
				for key, value := range tc.environment {
					t.Setenv(key, strings.Replace(value, "AUTHORITY", file, 1))
				}
				services, secret, who := &Services{}, map[string][]byte{vaultToken: []byte("s.token")}, Requester{}
				if login {
					secret, who = nil, Requester{Owner: types.NamespacedName{Namespace: "apps", Name: "app"}, Account: "sops"}
					named := "instances:\n- {address: \"" + vault.URL + "\", loginPath: auth/kubernetes/login}\n"
					vaults(services, map[string]string{"config.yaml": named})
				}
				d, err := services.New(t.Context(), secret, AllKeys, who)
				if err != nil {
					t.Fatal(err)
				}
				master := hcvault.NewMasterKey(vault.URL, "sops", "first")
				master.EncryptedKey = "vault:v1:abc"
				got, err := d.Decrypt(t.Context(), sops.Encrypt(t, sops.File{Name: "a.yaml", Plain: "k: v\n"}, dataKey, master), "a.yaml")
				switch {
				case tc.want == "" && (err != nil || string(got) != "k: v\n"):
					t.Errorf("login %t: got %s, %v", login, got, err)
				case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
					t.Errorf("login %t: got %v, want %s", login, err, tc.want)
				}
			})
		}
	}
}
