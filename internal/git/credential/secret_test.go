// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/make"
)

func TestSecretsOfGitRepositories(t *testing.T) {
	type data = map[string]string
	tests := map[string]struct {
		data    data
		want    git.Auth
		wantErr string
	}{
		"basic auth":              {data: data{"username": "u", "password": "p"}, want: git.Auth{Username: "u", Password: "p"}},
		"a bearer token":          {data: data{"bearerToken": "t\n"}, want: git.Auth{BearerToken: "t"}},
		"a certificate authority": {data: data{"ca.crt": "new", "caFile": "old"}, want: git.Auth{CA: []byte("new")}},
		"its deprecated key":      {data: data{"caFile": "old"}, want: git.Auth{CA: []byte("old")}},
		"a client certificate":    {data: data{"tls.crt": "c", "tls.key": "k"}, want: git.Auth{Cert: []byte("c"), Key: []byte("k")}},
		"its deprecated keys":     {data: data{"certFile": "c", "keyFile": "k"}, want: git.Auth{Cert: []byte("c"), Key: []byte("k")}},
		"an SSH key": {
			data: data{"identity": "i", "known_hosts": "h"},
			want: git.Auth{Identity: []byte("i"), KnownHosts: []byte("h")},
		},
		"an encrypted SSH key": {
			data: data{"identity": "i", "known_hosts": "h", "password": "p"},
			want: git.Auth{Identity: []byte("i"), KnownHosts: []byte("h"), Passphrase: []byte("p")},
		},
		"one Secret for both transports": {
			data: data{"identity": "i", "known_hosts": "h", "username": "u", "password": "p"},
			want: git.Auth{Identity: []byte("i"), KnownHosts: []byte("h"), Passphrase: []byte("p"), Username: "u", Password: "p"},
		},
		"an empty Secret proves nothing": {},

		"keys by other names": {
			data: data{"user": "u", "pass": "hunter2"},
			wantErr: "secret 'apps/git': it has pass, user, and none of the keys that a GitRepository reads: " +
				"name them username and password, bearerToken, or identity and known_hosts",
		},
		"a password needs a username":      {data: data{"password": "hunter2"}, wantErr: "secret 'apps/git': 'password' requires 'username'"},
		"a certificate needs its key":      {data: data{"tls.crt": "c"}, wantErr: "'tls.crt' and 'tls.key' are both needed"},
		"a key needs its certificate":      {data: data{"keyFile": "hunter2"}, wantErr: "'tls.crt' and 'tls.key' are both needed"},
		"an SSH key needs the known hosts": {data: data{"identity": "hunter2"}, wantErr: "'identity' requires 'known_hosts'"},
		"two ways to prove oneself are one": {
			data:    data{"username": "u", "password": "hunter2", "bearerToken": "t"},
			wantErr: "'bearerToken' and 'username' exclude one another",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := fromSecret(make.Secret("apps", "git", tc.data))
			if (err == nil) != (tc.wantErr == "") || (err != nil && !strings.Contains(err.Error(), tc.wantErr)) {
				t.Fatalf("error %v, want %q", err, tc.wantErr)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v contains the secret", err)
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("auth (-want +got):\n%s", diff)
			}
		})
	}
}
