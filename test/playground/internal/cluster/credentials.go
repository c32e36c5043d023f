// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-cd/sluice/test/playground/internal/pki"
	"github.com/sluice-cd/sluice/test/playground/internal/realnode"
)

type user struct {
	name   string
	groups []string
}

// users have a client certificate, and a kubeconfig that holds it.
var users = map[string]user{
	"controller-manager": {"system:kube-controller-manager", nil},
	"scheduler":          {"system:kube-scheduler", nil},
	"kwok":               {"playground-kwok", []string{"system:masters"}},
	"kubelet":            {"system:node:" + realnode.Name, []string{"system:nodes"}},
	"kube-proxy":         {"system:kube-proxy", nil},
}

// WriteCredentials makes keys, certificates and kubeconfigs, unless they are
// there already: a control plane that restarts must know its old tokens.
func (l Layout) WriteCredentials(now time.Time) error {
	if _, err := os.Stat(l.Kubeconfig()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	authority, err := pki.NewAuthority(now)
	if err != nil {
		return err
	}
	if err := l.writeServer(authority); err != nil {
		return err
	}
	for file, user := range users {
		if err := l.writeUser(authority, l.config(file+".kubeconfig"), user); err != nil {
			return err
		}
	}
	// The administrator's comes last: it says that all others are there.
	return l.writeUser(authority, l.Kubeconfig(), user{"playground-admin", []string{"system:masters"}})
}

func (l Layout) writeUser(authority *pki.Authority, file string, u user) error {
	pair, err := authority.Client(u.name, u.groups...)
	if err != nil {
		return err
	}
	return write(file, l.kubeconfig(authority.Cert, pair))
}

// writeServer writes what the API server itself needs.
func (l Layout) writeServer(authority *pki.Authority) error {
	server, err := authority.Server("kube-apiserver", Host, "localhost", apiServiceIP,
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
	if err != nil {
		return err
	}
	kubelet, err := authority.Client("kube-apiserver-kubelet-client", "system:masters")
	if err != nil {
		return err
	}
	tokens, err := pki.SigningKey()
	if err != nil {
		return err
	}
	return errors.Join(
		write(l.pki("ca.crt"), authority.Cert),
		write(l.pki("ca.key"), authority.Key),
		write(l.pki("server.crt"), server.Cert),
		write(l.pki("server.key"), server.Key),
		write(l.pki("kubelet-client.crt"), kubelet.Cert),
		write(l.pki("kubelet-client.key"), kubelet.Key),
		write(l.pki("tokens.key"), tokens),
	)
}

func (l Layout) kubeconfig(ca []byte, user pki.Pair) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: playground
contexts:
- name: playground
  context: {cluster: playground, user: playground}
clusters:
- name: playground
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: playground
  user:
    client-certificate-data: %s
    client-key-data: %s
`, l.URL(), encode(ca), encode(user.Cert), encode(user.Key))
}

func encode(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

func write(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o600)
}
