package scan

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// Access is how a registry is reached. The zero Access is anonymous.
type Access struct {
	keychain keychain
	tls      *tls.Config
	proxy    *url.URL
}

// ReadAccess reads the Secrets and the ServiceAccount that repo names. All its
// errors are [ErrCredentials] and name the field. Give it a reader without a
// cache: a cache would hold every Secret of the cluster.
func ReadAccess(ctx context.Context, reader client.Reader, repo *imagev1.ImageRepository) (Access, error) {
	s := secrets{reader: reader, namespace: repo.Namespace}
	var a Access
	var err error
	if a.keychain, err = s.keychain(ctx, &repo.Spec); err != nil {
		return Access{}, fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	if ref := repo.Spec.CertSecretRef; ref != nil {
		if a.tls, err = s.tls(ctx, ref.Name); err != nil {
			return Access{}, fmt.Errorf("%w: spec.certSecretRef: %w", ErrCredentials, err)
		}
	}
	if ref := repo.Spec.ProxySecretRef; ref != nil {
		if a.proxy, err = s.proxy(ctx, ref.Name); err != nil {
			return Access{}, fmt.Errorf("%w: spec.proxySecretRef: %w", ErrCredentials, err)
		}
	}
	return a, nil
}

// connect returns the transport to use, and what to call after use. Connections
// with their own TLS or proxy are not kept, since the Secret may change.
func (a Access) connect(shared *http.Transport) (http.RoundTripper, func()) {
	if a.tls == nil && a.proxy == nil {
		return shared, func() {}
	}
	own := shared.Clone()
	if a.tls != nil {
		own.TLSClientConfig = a.tls
	}
	if a.proxy != nil {
		own.Proxy = http.ProxyURL(a.proxy)
	}
	return own, own.CloseIdleConnections
}

// secrets reads Secrets of one namespace.
type secrets struct {
	reader    client.Reader
	namespace string
}

func (s secrets) get(ctx context.Context, name string) (map[string][]byte, error) {
	var secret corev1.Secret
	key := types.NamespacedName{Namespace: s.namespace, Name: name}
	if err := s.reader.Get(ctx, key, &secret); err != nil {
		return nil, fmt.Errorf("reading Secret %s: %w", key, err)
	}
	return secret.Data, nil
}

// keychain merges the credentials of secretRef with the pull secrets of the
// ServiceAccount; the former come first.
func (s secrets) keychain(ctx context.Context, spec *imagev1.ImageRepositorySpec) (keychain, error) {
	var keys keychain
	if spec.SecretRef != nil {
		found, err := s.dockerConfig(ctx, spec.SecretRef.Name)
		if err != nil {
			return nil, fmt.Errorf("spec.secretRef: %w", err)
		}
		keys = append(keys, found...)
	}
	if spec.ServiceAccountName == "" {
		return keys, nil
	}
	var account corev1.ServiceAccount
	key := types.NamespacedName{Namespace: s.namespace, Name: spec.ServiceAccountName}
	if err := s.reader.Get(ctx, key, &account); err != nil {
		return nil, fmt.Errorf("spec.serviceAccountName: reading ServiceAccount %s: %w", key, err)
	}
	for _, ref := range account.ImagePullSecrets {
		found, err := s.dockerConfig(ctx, ref.Name)
		if err != nil {
			return nil, fmt.Errorf("spec.serviceAccountName: %w", err)
		}
		keys = append(keys, found...)
	}
	return keys, nil
}

func (s secrets) dockerConfig(ctx context.Context, name string) (keychain, error) {
	data, err := s.get(ctx, name)
	if err != nil {
		return nil, err
	}
	var keys keychain
	switch {
	case data[corev1.DockerConfigJsonKey] != nil:
		keys, err = parseDockerConfig(data[corev1.DockerConfigJsonKey])
	case data[corev1.DockerConfigKey] != nil:
		keys, err = parseDockerAuths(data[corev1.DockerConfigKey])
	default:
		err = fmt.Errorf("no key %s or %s", corev1.DockerConfigJsonKey, corev1.DockerConfigKey)
	}
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s/%s: %w", s.namespace, name, err)
	}
	return keys, nil
}

// certAuthorityKey is where Secrets of type kubernetes.io/tls keep the
// certificates to trust.
const certAuthorityKey = "ca.crt"

// tls trusts ca.crt beside the system's authorities, and presents tls.crt.
func (s secrets) tls(ctx context.Context, name string) (*tls.Config, error) {
	data, err := s.get(ctx, name)
	if err != nil {
		return nil, err
	}
	ca, cert, key := data[certAuthorityKey], data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey]
	if ca == nil && cert == nil || (cert == nil) != (key == nil) {
		return nil, fmt.Errorf("Secret %s/%s needs %s, or %s with %s", s.namespace, name,
			certAuthorityKey, corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != nil {
		if config.RootCAs, err = x509.SystemCertPool(); err != nil {
			return nil, fmt.Errorf("reading the system's certificates: %w", err)
		}
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("%s of Secret %s/%s holds no certificate", certAuthorityKey, s.namespace, name)
		}
	}
	if cert != nil {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("certificate of Secret %s/%s: %w", s.namespace, name, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// proxy reads address, username and password.
func (s secrets) proxy(ctx context.Context, name string) (*url.URL, error) {
	data, err := s.get(ctx, name)
	if err != nil {
		return nil, err
	}
	address, err := url.Parse(string(data["address"]))
	if err != nil || address.Host == "" { // the error would quote a password
		return nil, fmt.Errorf("address of Secret %s/%s is not the URL of a proxy", s.namespace, name)
	}
	if user := string(data["username"]); user != "" {
		address.User = url.UserPassword(user, string(data["password"]))
	}
	return address, nil
}
