// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
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

// ParseProxy reads the URL of a proxy, with white space around it. Its scheme is http, https, socks5 or socks5h, and it
// may hold a user with a password; the error does not repeat it therefore.
func ParseProxy(address string) (*url.URL, error) {
	proxy, err := url.Parse(strings.TrimSpace(address))
	if err != nil || proxy.Host == "" {
		return nil, errors.New("it is no URL such as http://host:port")
	}
	switch proxy.Scheme {
	case "http", "https", "socks5", "socks5h":
		return proxy, nil
	}
	return nil, errors.New("the scheme is none of http, https, socks5 and socks5h")
}

// ProxyURL is the proxy that the data of a Secret names by the key address, as [ParseProxy] reads it, with the user and
// the password of the keys username and password, if there are any. Its error names the key.
func ProxyURL(data map[string][]byte) (*url.URL, error) {
	address, err := ParseProxy(string(data["address"]))
	if err != nil {
		return nil, fmt.Errorf("'address': %w", err)
	}
	if user := string(data["username"]); user != "" {
		address.User = url.UserPassword(user, string(data["password"]))
	}
	return address, nil
}
