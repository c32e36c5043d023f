// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"errors"
	"net/url"
)

// Certificates returns what the data of a Secret says of TLS: its keys ca.crt, tls.crt and tls.key, which are those of
// kubernetes.io/tls, or else caFile, certFile and keyFile, which Flux had before.
func Certificates(data map[string][]byte) Settings {
	value := func(key, former string) string {
		if len(data[key]) > 0 {
			return string(data[key])
		}
		return string(data[former])
	}
	return Settings{CA: value("ca.crt", "caFile"), Cert: value("tls.crt", "certFile"), Key: value("tls.key", "keyFile")}
}

// CheckCertificates refuses settings of a Secret that has to be about certificates, and has none, or one without its key.
func (s Settings) CheckCertificates() error {
	if s.CA == "" && s.Cert == "" || (s.Cert == "") != (s.Key == "") {
		return errors.New("it needs 'ca.crt', or 'tls.crt' with 'tls.key'")
	}
	return nil
}

// ProxyURL is the proxy that the data of a Secret names by the keys address, username and password. Its error does not
// quote the address, which may hold a password, too.
func ProxyURL(data map[string][]byte) (*url.URL, error) {
	address, err := url.Parse(string(data["address"]))
	if err != nil || address.Host == "" {
		return nil, errors.New("'address' must be the URL of a proxy")
	}
	if user := string(data["username"]); user != "" {
		address.User = url.UserPassword(user, string(data["password"]))
	}
	return address, nil
}
