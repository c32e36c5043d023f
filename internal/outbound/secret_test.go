// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"strings"
	"testing"
)

func data(pairs ...string) map[string][]byte {
	m := map[string][]byte{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = []byte(pairs[i+1])
	}
	return m
}

func TestWhatASecretSaysOfCertificates(t *testing.T) {
	for name, tc := range map[string]struct {
		data    map[string][]byte
		want    Settings
		refused bool
	}{
		"an authority":                  {data("ca.crt", "a"), Settings{CA: "a"}, false},
		"a certificate with its key":    {data("tls.crt", "c", "tls.key", "k"), Settings{Cert: "c", Key: "k"}, false},
		"the names that Flux had":       {data("caFile", "a", "certFile", "c", "keyFile", "k"), Settings{CA: "a", Cert: "c", Key: "k"}, false},
		"the name of today comes first": {data("caFile", "old", "ca.crt", "a"), Settings{CA: "a"}, false},
		"a certificate without a key":   {data("ca.crt", "a", "tls.crt", "c"), Settings{CA: "a", Cert: "c"}, true},
		"a key without a certificate":   {data("ca.crt", "a", "tls.key", "k"), Settings{CA: "a", Key: "k"}, true},
		"nothing of that":               {data("token", "x"), Settings{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got := Certificates(tc.data)
			if err := got.CheckCertificates(); got != tc.want || (err != nil) != tc.refused {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestTheProxyOfASecret(t *testing.T) {
	for name, tc := range map[string]struct {
		data map[string][]byte
		want string // empty is an error
	}{
		"an address":                     {data("address", "http://proxy:8080"), "http://proxy:8080"},
		"with a user":                    {data("address", "http://proxy", "username", "me", "password", "p"), "http://me:p@proxy"},
		"a password without a user":      {data("address", "http://proxy", "password", "p"), "http://proxy"},
		"no address":                     {data("username", "me"), ""},
		"an address without a host":      {data("address", "proxy"), ""},
		"an address that cannot be read": {data("address", "http://me:hunter2@proxy:port"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ProxyURL(tc.data)
			switch {
			case tc.want == "" && (err == nil || strings.Contains(err.Error(), "hunter2")):
				t.Errorf("got %v, %v", got, err)
			case tc.want != "" && (err != nil || got.String() != tc.want):
				t.Errorf("got %v, %v, want %s", got, err, tc.want)
			}
		})
	}
}
