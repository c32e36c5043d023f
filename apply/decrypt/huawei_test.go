// SPDX-License-Identifier: Apache-2.0

package decrypt

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/getsops/sops/v3/hckms"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/test/sops"
)

func TestAKeyOfHuaweiCloudIsAskedForAsTheController(t *testing.T) {
	const id = "eu-west-101:6f1f8f0a-0000-4000-8000-000000000000"
	for name, tc := range map[string]struct {
		key, account, access string
		status               int
		want                 string // "" is decrypted
	}{
		"decrypted":           {key: id, access: "AK"},
		"refused":             {key: id, access: "AK", status: http.StatusForbidden, want: "it answers 403 Forbidden"},
		"no such region":      {key: "none:6f1f8f0a", access: "AK", want: "it did not decrypt the key"},
		"as a ServiceAccount": {key: id, access: "AK", account: "keys", want: "asked with the identity of the controller only"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("HUAWEICLOUD_SDK_AK", tc.access)
			t.Setenv("HUAWEICLOUD_SDK_SK", "hunter2")
			t.Setenv("HUAWEICLOUD_SDK_PROJECT_ID", "project")
			dataKey := sops.DataKey()
			var asked []string
			over := roundTrips(func(req *http.Request) (*http.Response, error) {
				body, err := io.ReadAll(req.Body)
				asked = append(asked, req.URL.Scheme+"://"+req.URL.Host+req.URL.Path)
				if err != nil || !bytes.Contains(body, []byte("sealed")) || !strings.Contains(req.Header.Get("Authorization"), "Access=AK") {
					t.Errorf("asked with %s, %v, %v", body, req.Header, err)
				}
				answer, _ := json.Marshal(map[string]string{"plain_text": base64.StdEncoding.EncodeToString(dataKey), "error_msg": "hunter2"})
				status := http.StatusOK
				if tc.status != 0 {
					status = tc.status
				}
				return &http.Response{
					StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(answer)),
					Request: req,
				}, nil
			})
			key, err := hckms.NewMasterKey(tc.key)
			if err != nil {
				t.Fatal(err)
			}
			key.EncryptedKey = "sealed"
			sealed := sops.Encrypt(t, sops.File{Name: "a.yaml", Plain: "k: v\n"}, dataKey, key)
			services := &Services{Transport: over}
			d, err := services.New(t.Context(), nil, AllKeys, Requester{
				Kind: "Kustomization", Owner: types.NamespacedName{Namespace: "apps", Name: "a"}, Account: tc.account,
			})
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.Decrypt(t.Context(), sealed, "a.yaml")
			switch {
			case tc.want == "" && (err != nil || string(got) != "k: v\n"):
				t.Errorf("got %s, %v", got, err)
			case tc.want != "" && (!errors.Is(err, ErrDecrypt) || !strings.Contains(err.Error(), tc.want)),
				err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("got %v", err)
			}
			if len(asked) > 0 && asked[0] != "https://kms.eu-west-101.myhuaweicloud.eu/v1.0/project/kms/decrypt-data" {
				t.Errorf("asked %q", asked)
			}
		})
	}
}
