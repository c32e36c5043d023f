// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// keychain finds credentials by registry and path as the kubelet does for image
// pulls. The zero keychain is anonymous.
type keychain []credential

// credential is one entry of a Docker configuration.
type credential struct {
	host string // each label may be a glob: *.azurecr.io
	path string // with a leading slash, or empty for the whole registry
	auth authn.AuthConfig
}

// parseDockerConfig reads the data of a kubernetes.io/dockerconfigjson Secret.
func parseDockerConfig(data []byte) (keychain, error) {
	var config struct {
		Auths json.RawMessage `json:"auths"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, fmt.Errorf("not a Docker configuration: %w", err)
	}
	if len(config.Auths) == 0 {
		return nil, nil
	}
	return parseDockerAuths(config.Auths)
}

// parseDockerAuths reads the data of the older kubernetes.io/dockercfg, which is
// also the value of auths in the newer form.
func parseDockerAuths(data []byte) (keychain, error) {
	var auths map[string]authn.AuthConfig
	if err := json.Unmarshal(data, &auths); err != nil {
		return nil, fmt.Errorf("not a Docker configuration: %w", err)
	}
	var keys keychain
	for _, key := range slices.Sorted(maps.Keys(auths)) {
		auth := auths[key]
		if auth == (authn.AuthConfig{}) {
			continue // a credential helper's place, which means nothing in a cluster
		}
		host, prefix := splitKey(key)
		keys = append(keys, credential{host: host, path: prefix, auth: auth})
	}
	return keys, nil
}

// splitKey splits a key of auths, such as https://index.docker.io/v1/,
// ghcr.io or registry.example.com:5000/team, into host and path.
func splitKey(key string) (host, prefix string) {
	if _, rest, ok := strings.Cut(key, "://"); ok {
		key = rest
	}
	host, prefix, _ = strings.Cut(key, "/")
	for _, version := range []string{"v1", "v2"} {
		if rest, ok := strings.CutPrefix(prefix, version); ok && (rest == "" || rest[0] == '/') {
			prefix = strings.TrimPrefix(rest, "/")
		}
	}
	switch host {
	case "docker.io", "registry-1.docker.io":
		host = name.DefaultRegistry
	}
	if prefix = strings.TrimSuffix(prefix, "/"); prefix != "" {
		prefix = "/" + prefix
	}
	return host, prefix
}

// Resolve implements authn.Keychain.
func (k keychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	best := k.find(target)
	if best == nil {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(best.auth), nil
}

// secret spells the credential for target, to be hashed; never to be shown.
func (k keychain) secret(target authn.Resource) string {
	best := k.find(target)
	if best == nil {
		return ""
	}
	return fmt.Sprintf("%q",
		[]string{best.auth.Username, best.auth.Password, best.auth.Auth, best.auth.IdentityToken, best.auth.RegistryToken})
}

// find returns the credential for target, or nil: the entry with the longest path
// wins, then a host without globs, then the one that comes first.
func (k keychain) find(target authn.Resource) *credential {
	if len(k) == 0 {
		return nil
	}
	host := target.RegistryStr()
	repository := strings.TrimPrefix(target.String(), host)
	var best *credential
	for i := range k {
		c := &k[i]
		if c.matches(host, repository) && (best == nil || c.weight(host) > best.weight(host)) {
			best = c
		}
	}
	return best
}

// weight orders matching credentials: the length of the path, and half a step
// for a host without globs.
func (c *credential) weight(host string) int {
	w := 2 * len(c.path)
	if c.host == host {
		w++
	}
	return w
}

func (c *credential) matches(host, repository string) bool {
	return strings.HasPrefix(repository, c.path) && matchHost(c.host, host)
}

// matchHost matches label by label, so that * never spans a dot.
func matchHost(pattern, host string) bool {
	wantHost, wantPort, _ := strings.Cut(pattern, ":")
	gotHost, gotPort, _ := strings.Cut(host, ":")
	want, got := strings.Split(wantHost, "."), strings.Split(gotHost, ".")
	if wantPort != gotPort || len(want) != len(got) {
		return false
	}
	for i := range want {
		if ok, err := path.Match(want[i], got[i]); err != nil || !ok {
			return false
		}
	}
	return true
}
