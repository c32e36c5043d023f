// SPDX-License-Identifier: Apache-2.0

package decrypt

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/auth"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-cd/sluice/test/make"
	"github.com/sluice-cd/sluice/test/sops"
)

// accountToken is what the API server gives for a ServiceAccount.
func accountToken(account client.Object, audiences []string) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	claims := fmt.Sprintf(`{"sub":"system:serviceaccount:%s:%s","aud":%q,"exp":%d}`,
		account.GetNamespace(), account.GetName(), strings.Join(audiences, " "), time.Now().Add(time.Hour).Unix())
	return part(`{"alg":"RS256"}`) + "." + part(claims) + "." + part("signature")
}

// vaults has a ConfigMap of Vaults, and ServiceAccounts with tokens.
func vaults(services *Services, config map[string]string) {
	services.Vaults = types.NamespacedName{Namespace: "flux-system", Name: "vaults"}
	objects := []client.Object{
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "sops"}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "other"}},
	}
	if config != nil {
		objects = append(objects, make.ConfigMap("flux-system", "vaults", config))
	}
	c := fake.NewClientBuilder().WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		SubResourceCreate: func(
			_ context.Context, _ client.Client, _ string, account, request client.Object, _ ...client.SubResourceCreateOption,
		) error {
			asked, ok := request.(*authenticationv1.TokenRequest)
			if !ok {
				return fmt.Errorf("asked for a %T", request)
			}
			asked.Status.Token = accountToken(account, asked.Spec.Audiences)
			return nil
		},
	}).Build()
	services.Client, services.Reader = c, c
}

func TestAServiceAccountLogsInAtAVault(t *testing.T) {
	auth.EnableObjectLevelWorkloadIdentity()
	t.Cleanup(auth.DisableObjectLevelWorkloadIdentity)
	const instances = "instances:\n- {address: \"https://vault.b.example.com\", loginPath: auth/b/login}\n"
	named := map[string]string{"config.yaml": instances +
		"- {address: \"http://vault.example.com:8200\", loginPath: ns1/auth/kubernetes/login}\n"}
	for name, tc := range map[string]struct {
		config   map[string]string
		account  string
		want     string // "" is the text
		requests int
	}{
		"at one that the ConfigMap names": {named, "sops", "", 2},
		"at no other": {
			map[string]string{"config.yaml": instances}, "sops", "flux-system/vaults has no loginPath for this address", 0,
		},
		"in a role that the Vault knows": {
			named, "other", "logging in at ns1/auth/kubernetes/login as role apps_other: it answers 403 Forbidden", 1,
		},
		"if it is there":          {named, "gone", "there is no token of a ServiceAccount to log in with", 0},
		"if there is a ConfigMap": {nil, "sops", "reading ConfigMap flux-system/vaults of --sops-vault-configmap", 0},
		"if its fields are known": {
			map[string]string{"config.yaml": "instance: []"}, "sops", "config.yaml is not as it has to be", 0,
		},
		"if the ConfigMap has the key":          {map[string]string{"x": "y"}, "sops", "has no loginPath for this address", 0},
		"if the controller has a token to show": {named, "", "there is no token of a ServiceAccount to log in with", 0},
	} {
		t.Run(name, func(t *testing.T) {
			dataKey := sops.DataKey()
			services, seen := cloudServer(t, dataKey)
			vaults(services, tc.config)
			who := Requester{Kind: "Kustomization", Owner: types.NamespacedName{Namespace: "apps", Name: "app"}, Account: tc.account}
			d, err := services.New(t.Context(), nil, AllKeys, who)
			if err != nil {
				t.Fatal(err)
			}
			sealed := sops.Encrypt(t, sops.File{Name: "a.yaml", Plain: "k: v\n"}, dataKey, masters()[vaultToken])
			for range 2 { // it logs in once
				got, err := d.Decrypt(t.Context(), sealed, "a.yaml")
				switch {
				case tc.want == "" && (err != nil || string(got) != "k: v\n"):
					t.Errorf("got %s, %v", got, err)
				case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "eyJ")):
					t.Errorf("got %v, want %s", err, tc.want)
				}
			}
			if len(*seen) != tc.requests {
				t.Errorf("asked %d times, want %d", len(*seen), tc.requests)
			}
		})
	}
}
