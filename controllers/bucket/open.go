// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/cache"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/bucket"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/source"
)

// openedBucket is what one look leaves for the next.
type openedBucket struct {
	id     string // of how the bucket is reached
	bucket bucket.Bucket
	ignore ignoreFile
}

// check refuses a spec that can mean nothing. Its errors are for a person to mend.
func check(obj *sourcev1.Bucket) error {
	if err := source.CheckIgnore(obj.Spec.Ignore); err != nil {
		return source.StorageFailed(err)
	}
	generic := provider(obj) == bucket.Generic
	switch {
	case obj.Spec.ServiceAccountName != "" && generic:
		return source.FetchFailed(sourcev1.InvalidProviderConfigurationReason,
			errors.New("spec.serviceAccountName means nothing for provider generic"))
	case obj.Spec.ServiceAccountName != "" && obj.Spec.SecretRef != nil:
		return source.FetchFailed(sourcev1.InvalidProviderConfigurationReason,
			errors.New("spec.secretRef and spec.serviceAccountName exclude one another: remove one of them"))
	case obj.Spec.ServiceAccountName != "" && !auth.IsObjectLevelWorkloadIdentityEnabled():
		return source.FetchFailed(meta.FeatureGateDisabledReason,
			fmt.Errorf("to use spec.serviceAccountName for provider authentication please enable the %s feature gate in the controller",
				auth.FeatureGateObjectLevelWorkloadIdentity))
	case obj.Spec.CertSecretRef != nil && !generic:
		return source.FetchFailed(sourcev1.InvalidProviderConfigurationReason,
			fmt.Errorf("spec.certSecretRef is for provider generic only, not for %s: remove it", provider(obj)))
	}
	return nil
}

func provider(obj *sourcev1.Bucket) string {
	if obj.Spec.Provider == "" {
		return bucket.Generic
	}
	return obj.Spec.Provider
}

// open returns the bucket of a source: that of the look before, if nothing has changed.
func (r *Reconciler) open(ctx context.Context, obj *sourcev1.Bucket) (*openedBucket, error) {
	s := secrets{reader: r.Secrets, namespace: obj.Namespace}
	settings, conn, err := r.settings(ctx, obj, &s)
	if err != nil {
		return nil, source.FetchFailed(sourcev1.AuthenticationFailedReason, err)
	}
	id := conn.id(obj, settings)
	key := client.ObjectKeyFromObject(obj)
	known := r.opened.Get(key)
	if known != nil && known.id == id && !isIdentified(settings) {
		return known, nil
	}
	if err := r.allowed(settings); err != nil {
		return nil, reconcile.TerminalError(source.FetchFailed(sourcev1.URLInvalidReason, err))
	}
	if isIdentified(settings) {
		if err := r.Guard.ReachProxy(ctx, conn.proxy); err != nil {
			return nil, source.FetchFailed(sourcev1.AuthenticationFailedReason, fmt.Errorf("spec.proxySecretRef: %w", err))
		}
	}
	settings.CloudIdentity = r.identity(obj, conn)
	opened, err := bucket.Open(ctx, settings)
	switch {
	case errors.Is(err, bucket.ErrInvalid) && settings.STS != nil:
		return nil, reconcile.TerminalError(source.FetchFailed(sourcev1.InvalidSTSConfigurationReason, err))
	case errors.Is(err, bucket.ErrInvalid):
		return nil, reconcile.TerminalError(source.FetchFailed(sourcev1.InvalidProviderConfigurationReason, err))
	case err != nil:
		return nil, source.FetchFailed(sourcev1.AuthenticationFailedReason, err)
	}
	made := &openedBucket{id: id, bucket: opened}
	if known != nil && known.id == id {
		made.ignore = known.ignore
	}
	r.opened.Put(key, made)
	return made, nil
}

// allowed refuses servers at addresses that objects may not lead to. What names resolve to
// is checked when they are dialed.
func (r *Reconciler) allowed(s bucket.Settings) error {
	if at, err := s.Address(); err == nil { // else opening it says what is wrong
		if err := r.Guard.CheckURL(at); err != nil {
			return fmt.Errorf("spec.endpoint: %w", err)
		}
	}
	if s.STS == nil {
		return nil
	}
	if at, err := url.Parse(s.STS.Endpoint); err == nil {
		if err := r.Guard.CheckURL(at); err != nil {
			return fmt.Errorf("spec.sts.endpoint: %w", err)
		}
	}
	return nil
}

// isIdentified reports whether credentials are those of a cloud, which do not last.
func isIdentified(s bucket.Settings) bool { return s.Secret == nil && s.Provider != bucket.Generic }

// connectionSettings is how the server of a source is reached.
type connectionSettings struct {
	server, sts outbound.Settings
	proxy       *url.URL
}

// id tells apart how a bucket is reached. It is a digest, and kept in memory only.
func (w connectionSettings) id(obj *sourcev1.Bucket, s bucket.Settings) string {
	h := sha256.New()
	say := func(parts ...any) { _, _ = fmt.Fprintf(h, "%q\n", parts) }
	say(provider(obj), obj.Spec.Endpoint, obj.Spec.BucketName, obj.Spec.Region, obj.Spec.Prefix, obj.Spec.Insecure)
	say(obj.Spec.ServiceAccountName)
	say(w.server, w.sts)
	for _, key := range slices.Sorted(maps.Keys(s.Secret)) {
		say(key, s.Secret[key])
	}
	if s.STS != nil {
		say(s.STS.Provider, s.STS.Endpoint, s.STS.Username, s.STS.Password)
	}
	return string(h.Sum(nil))
}

// settings reads what the spec and its Secrets say.
func (r *Reconciler) settings(ctx context.Context, obj *sourcev1.Bucket, s *secrets) (bucket.Settings, connectionSettings, error) {
	var conn connectionSettings
	settings := bucket.Settings{
		Provider: provider(obj), Name: obj.Spec.BucketName, Endpoint: obj.Spec.Endpoint, Region: obj.Spec.Region, Insecure: obj.Spec.Insecure,
	}
	if obj.Spec.ServiceAccountName != "" {
		settings.Account = obj.Namespace + "/" + obj.Spec.ServiceAccountName
	}
	var err error
	if obj.Spec.SecretRef != nil {
		if settings.Secret, err = s.get(ctx, "spec.secretRef", obj.Spec.SecretRef); err != nil {
			return settings, conn, err
		}
		if settings.Secret == nil {
			settings.Secret = map[string][]byte{}
		}
	}
	if conn.proxy, err = s.proxy(ctx, obj.Spec.ProxySecretRef); err != nil {
		return settings, conn, err
	}
	if conn.proxy != nil {
		settings.Route = append(settings.Route, "spec.proxySecretRef")
		if err := r.Guard.CheckURL(conn.proxy); err != nil {
			return settings, conn, fmt.Errorf("spec.proxySecretRef: %w", err)
		}
	}
	if conn.server, err = s.tls(ctx, "spec.certSecretRef", obj.Spec.CertSecretRef, conn.proxy); err != nil {
		return settings, conn, err
	}
	if settings.Transport, err = r.transport(serverOwner(client.ObjectKeyFromObject(obj)), "spec.certSecretRef", conn.server); err != nil {
		return settings, conn, err
	}
	if sts := obj.Spec.STS; sts != nil {
		settings.STS = &bucket.STS{Provider: sts.Provider, Endpoint: sts.Endpoint}
		err = r.sts(ctx, obj, settings.STS, &conn, s)
	}
	return settings, conn, err
}

// sts reads what the spec says of the security token service.
func (r *Reconciler) sts(ctx context.Context, obj *sourcev1.Bucket, to *bucket.STS, conn *connectionSettings, s *secrets) error {
	spec := obj.Spec.STS
	if spec.SecretRef != nil {
		data, err := s.get(ctx, "spec.sts.secretRef", spec.SecretRef)
		if err != nil {
			return err
		}
		to.Username, to.Password = string(data["username"]), string(data["password"])
		if to.Username == "" || to.Password == "" {
			return fmt.Errorf("spec.sts.secretRef: invalid '%s' secret data for '%s' STS provider: required fields username, password",
				spec.SecretRef.Name, spec.Provider)
		}
	}
	var err error
	if conn.sts, err = s.tls(ctx, "spec.sts.certSecretRef", spec.CertSecretRef, conn.proxy); err != nil {
		return err
	}
	to.Transport, err = r.transport(stsOwner(client.ObjectKeyFromObject(obj)), "spec.sts.certSecretRef", conn.sts)
	return err
}

// serverOwner and stsOwner own the connections of a source to its bucket, and to the service
// that gives it tokens.
func serverOwner(key types.NamespacedName) string { return key.String() }
func stsOwner(key types.NamespacedName) string    { return key.String() + "/sts" }

func (r *Reconciler) transport(owner, field string, s outbound.Settings) (http.RoundTripper, error) {
	transport, err := r.Transports.ForOwner(owner, s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return transport, nil
}

// identity is how credentials are asked for of the cloud.
func (r *Reconciler) identity(obj *sourcev1.Bucket, conn connectionSettings) []auth.Option {
	opts := []auth.Option{auth.WithClient(r.Client), auth.WithServiceAccountNamespace(obj.Namespace)}
	if account := obj.Spec.ServiceAccountName; account != "" {
		opts = append(opts, auth.WithServiceAccountName(account))
	}
	if conn.proxy != nil {
		opts = append(opts, auth.WithProxyURL(*conn.proxy))
	}
	if r.Tokens != nil {
		opts = append(opts, auth.WithCache(*r.Tokens, cache.InvolvedObject{
			Kind: sourcev1.BucketKind, Namespace: obj.Namespace, Name: obj.Name, Operation: cache.OperationReconcile,
		}))
	}
	return opts
}

// secrets reads Secrets of one namespace, in one reconcile.
type secrets struct {
	reader    client.Reader
	namespace string
}

func (s *secrets) get(ctx context.Context, field string, ref *meta.LocalObjectReference) (map[string][]byte, error) {
	var secret corev1.Secret
	key := types.NamespacedName{Namespace: s.namespace, Name: ref.Name}
	if err := s.reader.Get(ctx, key, &secret); err != nil {
		return nil, fmt.Errorf("%s: failed to get secret '%s': %w", field, key, err)
	}
	return secret.Data, nil
}

// proxy reads a proxy; nil is none.
func (s *secrets) proxy(ctx context.Context, ref *meta.LocalObjectReference) (*url.URL, error) {
	if ref == nil {
		return nil, nil
	}
	data, err := s.get(ctx, "spec.proxySecretRef", ref)
	if err != nil {
		return nil, err
	}
	address, err := outbound.ProxyURL(data)
	if err != nil {
		return nil, fmt.Errorf("spec.proxySecretRef: secret '%s/%s': %w", s.namespace, ref.Name, err)
	}
	return address, nil
}

// tls reads certificates.
func (s *secrets) tls(ctx context.Context, field string, ref *meta.LocalObjectReference, proxy *url.URL) (outbound.Settings, error) {
	var settings outbound.Settings
	if proxy != nil {
		settings.Proxy = proxy.String()
	}
	if ref == nil {
		return settings, nil
	}
	data, err := s.get(ctx, field, ref)
	if err != nil {
		return settings, err
	}
	found := outbound.Certificates(data)
	if err := found.CheckCertificates(); err != nil {
		return settings, fmt.Errorf("%s: secret '%s/%s': %w", field, s.namespace, ref.Name, err)
	}
	settings.CA, settings.Cert, settings.Key = found.CA, found.Cert, found.Key
	return settings, nil
}
