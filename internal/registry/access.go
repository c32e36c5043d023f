// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/identity"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// Access is how a registry is reached. The zero Access is anonymous.
type Access struct {
	namespace string // of the object that it is read for
	field     string // of that object, below which the spec is; empty is spec
	keychain  keychain
	cloud     *cloud // nil unless spec.provider names one
	tls       *tls.Config
	proxy     *url.URL
	route     string // digest over tls and proxy; empty when there are none
}

// Spec is what the spec of an object says of how its registry is reached.
type Spec struct {
	// Kind, Namespace and Name are those of the object.
	Kind, Namespace, Name string
	// Field is where in the object the fields below are, such as spec.stages[0].write.tag: errors name them by it. Empty is spec.
	Field string
	// Image is spec.image, and Insecure spec.insecure.
	Image    string
	Insecure bool
	// TrustAny trusts any certificate of the registry, unless there is a CertSecretRef.
	TrustAny bool
	// Provider is spec.provider.
	Provider           string
	ServiceAccountName string
	// PullSecretsFirst has the pull secrets of the ServiceAccount count before the provider, as with an
	// OCIRepository of Flux. Otherwise, as with an ImageRepository, the provider counts alone.
	PullSecretsFirst bool
	// Secrets of the object's namespace; empty is none.
	SecretRef, CertSecretRef, ProxySecretRef string
}

// path is a field of the spec, as errors name it.
func (s Spec) path(field string) string { return cmp.Or(s.Field, "spec") + "." + field }

// In returns an Access without credentials for the objects of a namespace.
func In(namespace string) Access { return Access{namespace: namespace} }

// Namespace is the namespace of the object that the Access is read for.
func (a Access) Namespace() string { return a.namespace }

// ReadAccess reads the Secrets and the ServiceAccount that a spec names. All its
// errors are [ErrCredentials] and name the field. Give it a reader without a
// cache: a cache would hold every Secret of the cluster.
func ReadAccess(ctx context.Context, reader client.Reader, spec Spec) (Access, error) {
	s := secrets{reader: reader, namespace: spec.Namespace}
	a := Access{namespace: spec.Namespace, field: spec.Field}
	var err error
	if a.keychain, err = s.keychain(ctx, spec); err != nil {
		return Access{}, fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	var material string
	switch {
	case spec.CertSecretRef == "" && spec.TrustAny && spec.isGeneric(): // the identity of a cloud goes nowhere unverified
		a.tls, material = outbound.Unverified(nil), "any certificate"
	case spec.CertSecretRef != "":
		if a.tls, material, err = s.tls(ctx, spec.CertSecretRef); err != nil {
			return Access{}, fmt.Errorf("%w: %s: %w", ErrCredentials, spec.path("certSecretRef"), err)
		}
	}
	if spec.ProxySecretRef != "" {
		if a.proxy, err = s.proxy(ctx, spec.ProxySecretRef); err != nil {
			return Access{}, fmt.Errorf("%w: %s: %w", ErrCredentials, spec.path("proxySecretRef"), err)
		}
		material += "\n" + a.proxy.String()
	}
	if material != "" {
		a.route = digest(material)
	}
	return a, nil
}

// Refused says what to look at when the registry refuses access to a repository:
// whether there are credentials at all, and whether one of them is for it.
func (a Access) Refused(repository name.Repository) string {
	secretRef := Spec{Field: a.field}.path("secretRef")
	switch {
	case a.cloud != nil:
		return "the identity of " + Spec{Field: a.field}.path("provider") + " has to be allowed to read " + repository.String()
	case len(a.keychain) == 0:
		return "there are no credentials: set " + secretRef + " to a Secret of type kubernetes.io/dockerconfigjson"
	case a.keychain.find(repository) == nil:
		return "no Secret of " + secretRef + " or of the ServiceAccount has an entry for " + repository.String()
	}
	return "the credentials of " + secretRef + " or of the ServiceAccount for " + repository.RegistryStr() +
		" are wrong, or may not read this image"
}

// secret spells the credential for a repository, to be hashed; never to be shown.
func (a Access) secret(repository name.Repository) string {
	if a.cloud != nil {
		return a.cloud.key()
	}
	return a.keychain.secret(repository)
}

// bind keeps the credentials of a cloud with its own hosts.
func (a Access) bind(next http.RoundTripper) http.RoundTripper {
	if a.cloud == nil {
		return next
	}
	return identity.Bind(next, a.cloud.provider, identity.Registry)
}

// digest is a SHA-256 over parts, in which no part runs into the next.
func digest(parts ...string) string {
	var framed []byte
	for _, part := range parts {
		framed = append(strconv.AppendInt(framed, int64(len(part)), 10), ':')
		framed = append(framed, part...)
	}
	sum := sha256.Sum256(framed)
	return hex.EncodeToString(sum[:16])
}

// Resolve implements authn.Keychain.
func (a Access) Resolve(image authn.Resource) (authn.Authenticator, error) {
	if a.cloud != nil {
		return a.cloud, nil
	}
	return a.keychain.Resolve(image)
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
func (s secrets) keychain(ctx context.Context, spec Spec) (keychain, error) {
	var keys keychain
	if spec.SecretRef != "" {
		found, err := s.dockerConfig(ctx, spec.SecretRef)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", spec.path("secretRef"), err)
		}
		keys = append(keys, found...)
	}
	if spec.ServiceAccountName == "" {
		return keys, nil
	}
	var account corev1.ServiceAccount
	key := types.NamespacedName{Namespace: s.namespace, Name: spec.ServiceAccountName}
	if err := s.reader.Get(ctx, key, &account); err != nil {
		return nil, fmt.Errorf("%s: reading ServiceAccount %s: %w", spec.path("serviceAccountName"), key, err)
	}
	for _, ref := range account.ImagePullSecrets {
		found, err := s.dockerConfig(ctx, ref.Name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", spec.path("serviceAccountName"), err)
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

// tls trusts ca.crt beside the system's authorities, and presents tls.crt. It also
// returns what the configuration was made of, to be hashed.
func (s secrets) tls(ctx context.Context, name string) (*tls.Config, string, error) {
	data, err := s.get(ctx, name)
	if err != nil {
		return nil, "", err
	}
	found := outbound.Certificates(data)
	err = found.CheckCertificates()
	var config *tls.Config
	if err == nil {
		config, err = outbound.TLSConfig([]byte(found.CA), []byte(found.Cert), []byte(found.Key))
	}
	if err != nil {
		return nil, "", fmt.Errorf("Secret %s/%s: %w", s.namespace, name, err)
	}
	return config, digest(found.CA, found.Cert, found.Key), nil
}

func (s secrets) proxy(ctx context.Context, name string) (*url.URL, error) {
	data, err := s.get(ctx, name)
	if err != nil {
		return nil, err
	}
	address, err := outbound.ProxyURL(data)
	if err != nil {
		return nil, fmt.Errorf("Secret %s/%s: %w", s.namespace, name, err)
	}
	return address, nil
}
