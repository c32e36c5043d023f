package git

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAuthFromSecret(t *testing.T) {
	tests := map[string]struct {
		data    map[string]string
		want    Auth
		wantErr string
	}{
		"basic auth":                        {data: map[string]string{"username": "u", "password": "p"}, want: Auth{Username: "u", Password: "p"}},
		"a bearer token":                    {data: map[string]string{"bearerToken": "t"}, want: Auth{BearerToken: "t"}},
		"a certificate authority":           {data: map[string]string{"ca.crt": "new", "caFile": "old"}, want: Auth{CA: []byte("new")}},
		"its deprecated key":                {data: map[string]string{"caFile": "old"}, want: Auth{CA: []byte("old")}},
		"an SSH key is for SSH":             {data: map[string]string{"identity": "k", "known_hosts": "h"}},
		"a password needs a username":       {data: map[string]string{"password": "p"}, wantErr: "secret apps/git: 'password' requires 'username'"},
		"a client certificate is not used":  {data: map[string]string{"tls.crt": "c"}, wantErr: "client certificates (tls.crt) are not supported"},
		"its deprecated key is not either":  {data: map[string]string{"keyFile": "c"}, wantErr: "client certificates (keyFile) are not supported"},
		"an empty secret proves nothing":    {},
		"an error does not tell the secret": {data: map[string]string{"password": "hunter2"}, wantErr: "secret apps/git"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "git"}, Data: map[string][]byte{}}
			for key, value := range tc.data {
				secret.Data[key] = []byte(value)
			}
			got, err := AuthFromSecret(secret)
			if (err == nil) != (tc.wantErr == "") || (err != nil && !strings.Contains(err.Error(), tc.wantErr)) {
				t.Fatalf("error %v, want %q", err, tc.wantErr)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v contains the password", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("auth (-want +got):\n%s", diff)
			}
		})
	}
}
