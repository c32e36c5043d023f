// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
)

func TestARefusalSaysWhichCredentialsToLookAt(t *testing.T) {
	repository, err := name.NewRepository("registry.example.com/team/app")
	if err != nil {
		t.Fatal(err)
	}
	for what, tc := range map[string]struct{ config, want string }{
		"no Secret": {"", "set spec.secretRef"},
		"a Secret for another host": {
			`{"auths":{"other.example.com":{"username":"u","password":"hunter2"}}}`,
			"has an entry for registry.example.com/team/app",
		},
		"a wrong password": {
			`{"auths":{"registry.example.com":{"username":"u","password":"hunter2"}}}`,
			"for registry.example.com are wrong",
		},
	} {
		var access Access
		if tc.config != "" {
			if access.keychain, err = parseDockerConfig([]byte(tc.config)); err != nil {
				t.Fatal(err)
			}
		}
		got := access.Refused(repository)
		if !strings.Contains(got, tc.want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s: %s", what, got)
		}
	}
}
