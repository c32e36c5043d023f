// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// maxKubeConfig bounds a kubeconfig, in bytes.
const maxKubeConfig = 256 << 10

// ErrKubeConfig means that a kubeConfig cannot be used as it is.
var ErrKubeConfig = errors.New("the kubeConfig cannot be used")

// connection is the one to the cluster of a kubeConfig. Who uses another version of the
// Secret has another connection.
func (l *Look) connection(ctx context.Context, at *meta.KubeConfigReference) (*connection, error) {
	if at == nil {
		return l.clusters.local, nil
	}
	if at.SecretRef == nil {
		return nil, fmt.Errorf("%w: configMapRef is not supported; use secretRef", ErrKubeConfig)
	}
	place := at.SecretRef.Name + "/" + at.SecretRef.Key
	if conn, ok := l.opened[place]; ok {
		return conn, nil
	}
	key := types.NamespacedName{Namespace: l.pipeline.Namespace, Name: at.SecretRef.Name}
	var secret corev1.Secret
	if err := l.clusters.Secrets.Get(ctx, key, &secret); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("%w: Secret %s does not exist", ErrKubeConfig, key)
		}
		return nil, fmt.Errorf("reading Secret %s of kubeConfig: %w", key, err)
	}
	id := fmt.Sprintf("%s/%s/%s@%s.%s", key.Namespace, key.Name, at.SecretRef.Key, secret.UID, secret.ResourceVersion)
	conn := l.clusters.connected(id)
	if conn == nil {
		config, err := readKubeConfig(&secret, at.SecretRef.Key)
		if err == nil {
			conn, err = connect(id, key.Name, config, l.clusters.Guard)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: Secret %s: %w", ErrKubeConfig, key, err)
		}
	}
	l.opened[place] = conn
	return conn, nil
}

// connected is the connection that a watch uses already, or nil.
func (c *Clusters) connected(id string) *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, w := range c.watches {
		if key.cluster == id {
			return w.connection
		}
	}
	return nil
}

// readKubeConfig reads the kubeconfig in a Secret. Errors say nothing of what it holds.
func readKubeConfig(secret *corev1.Secret, key string) (*rest.Config, error) {
	keys := []string{key}
	if key == "" {
		keys = []string{"value", "value.yaml"} // as Flux does
	}
	var text []byte
	for _, k := range keys {
		if text = secret.Data[k]; len(text) > 0 {
			break
		}
	}
	switch {
	case len(text) == 0:
		return nil, fmt.Errorf("it has no key '%s' with a kubeconfig", keys[0])
	case len(text) > maxKubeConfig:
		return nil, fmt.Errorf("its kubeconfig has more than %d bytes", maxKubeConfig)
	}
	parsed, err := clientcmd.Load(text)
	if err != nil {
		return nil, errors.New("its kubeconfig is no valid YAML of that kind")
	}
	if err := selfContained(parsed); err != nil {
		return nil, err
	}
	config, err := clientcmd.NewDefaultClientConfig(*parsed, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, errors.New("its kubeconfig names no server in its current context")
	}
	return config, nil
}

// selfContained refuses a kubeconfig that has commands run or files read: those would be
// ours.
func selfContained(config *clientcmdapi.Config) error {
	for name, user := range config.AuthInfos {
		switch {
		case user.Exec != nil:
			return fmt.Errorf("user %q has `exec`, and commands are not run; use a token or a certificate", name)
		case user.AuthProvider != nil:
			return fmt.Errorf("user %q has `auth-provider`, which is not supported; use a token or a certificate", name)
		case user.TokenFile != "", user.ClientCertificate != "", user.ClientKey != "":
			return fmt.Errorf("user %q names files, which are not read; use token, client-certificate-data and client-key-data", name)
		}
	}
	for name, of := range config.Clusters {
		if of.CertificateAuthority != "" {
			return fmt.Errorf("cluster %q names a file, which is not read; use certificate-authority-data", name)
		}
	}
	return nil
}
