// SPDX-License-Identifier: Apache-2.0

package forge_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/promotion/forge"
)

// TestAStatusHasTheNamesThatRulesDemand: where a forge knows a status by more than its context, that is sent.
func TestAStatusHasTheNamesThatRulesDemand(t *testing.T) {
	t.Parallel()
	status := forge.Status{Context: "kustomization/shop/abcd", State: forge.CheckSuccess, Genre: "fluxcd:eu", Key: "0123abcd"}
	for name, want := range map[string][]string{
		forge.AzureDevOps:     {`"genre":"fluxcd:eu"`, `"name":"kustomization/shop/abcd"`},
		forge.Bitbucket:       {`"key":"0123abcd"`, `"name":"kustomization/shop/abcd"`},
		forge.BitbucketServer: {`"key":"0123abcd"`, `"name":"kustomization/shop/abcd"`},
	} {
		fake := newFakeForge(t, name)
		var sent string
		fake.intercept = func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost || !strings.Contains(r.URL.Path, "status") {
				return false
			}
			body, _ := io.ReadAll(r.Body)
			sent = string(body)
			_, _ = rw.Write([]byte("{}"))
			return true
		}
		if err := fake.Forge().SetStatus(t.Context(), strings.Repeat("a", 40), status); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, text := range want {
			if !strings.Contains(sent, text) {
				t.Errorf("%s is sent %s, want %s", name, sent, text)
			}
		}
	}
}
