// SPDX-License-Identifier: Apache-2.0

// Package bucket lists and reads the objects of buckets: of S3, whoever speaks it, of
// Google Cloud Storage, and of Azure Blob Storage.
//
//	spec.provider generic, aws   S3: minio-go
//	spec.provider gcp            Google's client of the JSON API, google.golang.org/api/storage/v1
//	spec.provider azure          Azure's own library
//
// Credentials are the credentials of a Secret, or the identity that a cloud gives to the workload.
// The latter goes to the cloud's own hosts only, as package identity has it. All that is
// read is bounded, and requests go through the transport that the caller gives.
//
// cloud.google.com/go/storage, which Flux uses, repeats requests until the context ends, so that the condition of a source
// whose server is down would say after spec.timeout that it took too long, and it reads objects by another API (XML) than it
// lists them. Its size is no reason: SOPS links it as well.
package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fluxcd/pkg/auth"

	"github.com/sluice-cd/sluice/internal/bounded"
	"github.com/sluice-cd/sluice/internal/identity"
	"github.com/sluice-cd/sluice/internal/mask"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// The providers, as spec.provider spells them.
const (
	Generic = "generic"
	AWS     = "aws"
	GCP     = "gcp"
	Azure   = "azure"
)

// What callers branch on.
var (
	// ErrInvalid means that only an edit of the object can help.
	ErrInvalid = errors.New("invalid configuration")
	// ErrCredentials means that a Secret lacks something, or the cloud gives no credentials.
	ErrCredentials = errors.New("unusable credentials")
	// ErrChanged means that an object is there no more as it was listed.
	ErrChanged = errors.New("the object has changed since it was listed")
)

// Object is one of a listing.
type Object struct {
	Key string
	// ETag is another one when the content is another one. It is spelled as Flux spells it in
	// revisions.
	ETag string
	// Size is in bytes.
	Size int64

	match string // the ETag as the provider spells it
}

// Bucket is one that can be read.
type Bucket interface {
	// List calls each for all objects whose key begins with prefix, until that fails.
	List(ctx context.Context, prefix string, each func(Object) error) error
	// Get reads an object as it was listed. It is an error that is [ErrChanged] if that is
	// there no more, or has another size. What Google and Azure keep packed, with Content-Encoding
	// gzip, comes unpacked, and asks room for what it has beyond the size of the list.
	Get(ctx context.Context, object Object, reserve Reserve) ([]byte, error)
	// Find is the object of a key; false if there is none.
	Find(ctx context.Context, key string) (Object, bool, error)
}

// Reserve gives room for some bytes more of an object, or refuses it by an error. It may be called from
// several goroutines.
type Reserve func(bytes int64) error

// Settings are how a bucket is reached.
type Settings struct {
	Provider string
	// Name is the name of the bucket, or the container. Endpoint is host:port, or for Azure a URL.
	Name, Endpoint, Region string
	// Insecure speaks HTTP.
	Insecure bool
	// Secret has the credentials; nil is the identity of the workload for aws, gcp and
	// azure, and nobody's for generic.
	Secret map[string][]byte
	// Account names the ServiceAccount whose identity that is, for messages; empty is the
	// controller's own.
	Account string
	// CloudIdentity is how that is asked for; nil refuses it.
	CloudIdentity []auth.Option
	// Route are the fields that name a proxy or certificates.
	Route []string
	// STS is where credentials that do not last come from; nil is nowhere else.
	STS *STS
	// Transport is what requests go through.
	Transport http.RoundTripper
}

// STS is a security token service.
type STS struct {
	// Provider is aws or ldap.
	Provider, Endpoint string
	// Username and Password are for ldap.
	Username, Password string
	// Transport is what its requests go through.
	Transport http.RoundTripper
}

// providers open buckets by spec.provider.
var providers = map[string]func(ctx context.Context, s Settings, at *url.URL) (provider, error){
	Generic: openS3, AWS: openS3, GCP: openGCS, Azure: openAzure,
}

// Open prepares to read a bucket; it asks nothing yet, except for credentials.
func Open(ctx context.Context, s Settings) (Bucket, error) {
	open, ok := providers[s.Provider]
	if !ok {
		return nil, fmt.Errorf("%w: unknown spec.provider %q", ErrInvalid, s.Provider)
	}
	if s.Name == "" || strings.ContainsAny(s.Name, "/?#\\ ") {
		return nil, fmt.Errorf("%w: spec.bucketName %q is no name of a bucket", ErrInvalid, s.Name)
	}
	if s.STS != nil && (s.Provider == GCP || s.Provider == Azure) {
		return nil, fmt.Errorf("%w: spec.sts is not supported for provider %s", ErrInvalid, s.Provider)
	}
	at, err := s.Address()
	if err != nil {
		return nil, err
	}
	opened, err := open(ctx, s, at)
	if err != nil {
		return nil, s.hide(err)
	}
	return maskedBucket{opened, s}, nil
}

// Address is where the server of the bucket is.
func (s Settings) Address() (*url.URL, error) {
	scheme := "https"
	if s.Insecure {
		scheme = "http"
	}
	endpoint := s.Endpoint
	if s.Provider == Azure || s.Provider == GCP {
		endpoint = strings.TrimSuffix(strings.TrimPrefix(endpoint, scheme+"://"), "/")
	}
	u, err := url.Parse(scheme + "://" + endpoint)
	bare := err == nil && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "" && !strings.Contains(endpoint, "://")
	if !bare || s.Provider != Azure && u.Path != "" {
		return nil, fmt.Errorf("%w: spec.endpoint is no host, or host and port, such as s3.example.com: "+
			"leave out a scheme (spec.insecure speaks HTTP), the bucket and passwords", ErrInvalid)
	}
	return u, nil
}

// identified reports whether the identity of the workload is used, and refuses to send it
// where it does not belong.
func (s Settings) identified(at *url.URL) (bool, error) {
	if s.Secret != nil || s.Provider == Generic {
		return false, nil
	}
	if s.CloudIdentity == nil {
		return false, fmt.Errorf("%w: this process has no identity in a cloud: set spec.secretRef", ErrCredentials)
	}
	use := identity.Use{Provider: s.Provider, Service: identity.Storage, URL: at, Account: s.Account, Route: s.Route}
	if err := use.Check(); err != nil {
		return false, fmt.Errorf("%w: spec.endpoint: %w", ErrInvalid, err)
	}
	return true, nil
}

// bound keeps the identity of the workload at the cloud's own hosts.
func (s Settings) bound() http.RoundTripper {
	return identity.Bind(s.Transport, s.Provider, identity.Storage)
}

// value is what a Secret has at a key.
func (s Settings) value(key string) string { return string(s.Secret[key]) }

// hide takes secrets, and lines, out of the text of an error.
func (s Settings) hide(err error) error {
	if err == nil {
		return nil
	}
	var secrets []string
	for _, value := range s.Secret {
		secrets = append(secrets, string(value))
	}
	if s.STS != nil {
		secrets = append(secrets, s.STS.Password)
	}
	return redactedError{err, summary(mask.New(secrets...).Text(err.Error()))}
}

// maxText bounds what of an answer is repeated.
const maxText = 500

func summary(text string) string {
	text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "..."
	}
	return text
}

// redactedError is an error with another text.
type redactedError struct {
	err  error
	text string
}

func (h redactedError) Error() string { return h.text }
func (h redactedError) Unwrap() error { return h.err }

// provider is what is different between providers.
type provider interface {
	// List and Find are those of [Bucket].
	List(ctx context.Context, prefix string, each func(Object) error) error
	Find(ctx context.Context, key string) (Object, bool, error)
	// open begins to read an object as it was listed. The context is also that of the content.
	open(ctx context.Context, object Object) (content, error)
	// isChanged reports whether an error says that the object is there no more as it was listed.
	isChanged(err error) bool
}

// content is what an object has. One that was unpacked on the way has another size than in the list.
type content struct {
	io.ReadCloser
	unpacked bool
}

// maskedBucket is a bucket whose errors show no secrets.
type maskedBucket struct {
	provider
	settings Settings
}

func (m maskedBucket) List(ctx context.Context, prefix string, each func(Object) error) error {
	return m.settings.hide(m.provider.List(ctx, prefix, each))
}

func (m maskedBucket) Get(ctx context.Context, o Object, reserve Reserve) ([]byte, error) {
	data, err := m.read(ctx, o, reserve)
	if err == nil {
		return data, nil
	}
	if m.isChanged(err) {
		err = fmt.Errorf("%w: %w", ErrChanged, err)
	}
	return nil, m.settings.hide(fmt.Errorf("failed to get '%s' object: %w", o.Key, err))
}

func (m maskedBucket) read(ctx context.Context, o Object, reserve Reserve) ([]byte, error) {
	found, err := m.open(forContent(ctx), o)
	if err != nil {
		return nil, err
	}
	defer func() { _ = found.Close() }()
	if found.unpacked {
		return readUnpacked(found, o, reserve)
	}
	return read(found, o)
}

func (m maskedBucket) Find(ctx context.Context, key string) (Object, bool, error) {
	o, found, err := m.provider.Find(ctx, key)
	return o, found, m.settings.hide(err)
}

// read reads an object of a size that is known.
func read(from io.Reader, o Object) ([]byte, error) {
	data, err := bounded.ReadAll(from, o.Size, fmt.Errorf("%w: more than %d bytes came", ErrChanged, o.Size))
	if err == nil && int64(len(data)) < o.Size {
		return nil, fmt.Errorf("%w: %d bytes came instead of %d", ErrChanged, len(data), o.Size)
	}
	return data, err
}

// unpackedStep is how much is read before room is asked for it, in bytes.
const unpackedStep = 256 << 10

// readUnpacked reads an object whose size in the list is that of what it was packed into.
func readUnpacked(from io.Reader, o Object, reserve Reserve) ([]byte, error) {
	var data bytes.Buffer
	for has := o.Size; ; {
		_, err := io.CopyN(&data, from, unpackedStep)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if more := int64(data.Len()) - has; more > 0 {
			if err := reserve(more); err != nil {
				return nil, err
			}
			has += more
		}
		if err != nil {
			return data.Bytes(), nil
		}
	}
}

// maxAnswer is far more than the page of a listing has, in bytes.
const maxAnswer = 32 << 20

// answers bounds what servers answer to lists, which the libraries read whole.
var answers = outbound.Limits{Bytes: maxAnswer, What: "what the server answers", Except: isContent}

// newClient sends requests over a transport and follows no redirect: what is sent authenticates.
func newClient(transport http.RoundTripper, timeout time.Duration) *http.Client {
	return outbound.NewClient(transport, outbound.Rules{Redirects: outbound.Refuse, Timeout: timeout, Limits: answers})
}

// objectRequest marks the requests for objects, whose bodies are read no further than their size.
type objectRequest struct{}

func isContent(req *http.Request) bool { return req.Context().Value(objectRequest{}) != nil }

func forContent(ctx context.Context) context.Context {
	return context.WithValue(ctx, objectRequest{}, true)
}
