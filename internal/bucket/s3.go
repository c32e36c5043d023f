// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/fluxcd/pkg/auth"
	awsauth "github.com/fluxcd/pkg/auth/aws"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/sluice-cd/sluice/internal/identity"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// retries is how often a request is sent at most; the next look comes anyway.
const retries = 3

// tokenTimeout is for servers that give credentials where no context says it.
const tokenTimeout = 30 * time.Second

type s3 struct {
	client *minio.Client
	name   string
}

func openS3(ctx context.Context, s Settings, at *url.URL) (provider, error) {
	if err := s.checkSTS(); err != nil {
		return nil, err
	}
	creds, transport, err := s.s3Credentials(ctx, at)
	if err != nil {
		return nil, err
	}
	client, err := minio.New(at.Host, &minio.Options{
		Creds: creds, Secure: !s.Insecure, Region: s.Region, Transport: outbound.Bound(packed{transport}, answers), MaxRetries: retries,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: spec.endpoint: %w", ErrInvalid, err)
	}
	return &s3{client: client, name: s.Name}, nil
}

// packed asks for objects as they are kept, and listed, also those with Content-Encoding gzip, as the
// client's own transport does. Without a header of its own, net/http would ask for gzip and unpack.
type packed struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (p packed) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("Accept-Encoding") == "" {
		req = req.Clone(req.Context())
		req.Header.Set("Accept-Encoding", "identity")
	}
	return p.next.RoundTrip(req)
}

// checkSTS refuses what no security token service can mean.
func (s Settings) checkSTS() error {
	switch {
	case s.STS == nil:
		return nil
	case s.STS.Provider == "ldap" && s.Provider == Generic, s.STS.Provider == AWS && s.Provider == AWS:
	default:
		return fmt.Errorf("%w: STS provider '%s' is not supported for '%s' bucket provider", ErrInvalid, s.STS.Provider, s.Provider)
	}
	u, err := url.Parse(s.STS.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%w: spec.sts.endpoint is no URL such as https://sts.example.com", ErrInvalid)
	}
	if s.STS.Provider != AWS {
		return nil
	}
	use := identity.Use{Provider: AWS, Service: identity.Tokens, URL: u, Account: s.Account, Route: s.Route}
	if err := use.Check(); err != nil {
		return fmt.Errorf("%w: spec.sts.endpoint: %w", ErrInvalid, err)
	}
	return nil
}

// s3Credentials are what requests are signed with, and what they go through.
func (s Settings) s3Credentials(ctx context.Context, at *url.URL) (*credentials.Credentials, http.RoundTripper, error) {
	if s.Secret != nil {
		access, secret := s.value("accesskey"), s.value("secretkey")
		if access == "" || secret == "" {
			return nil, nil, fmt.Errorf("%w: required fields 'accesskey' and 'secretkey' of spec.secretRef", ErrCredentials)
		}
		return credentials.NewStaticV4(access, secret, ""), s.Transport, nil
	}
	identified, err := s.identified(at)
	switch {
	case err != nil:
		return nil, nil, err
	case identified:
		opts := append([]auth.Option{auth.WithSTSRegion(s.Region)}, s.CloudIdentity...)
		if s.STS != nil {
			opts = append(opts, auth.WithSTSEndpoint(s.STS.Endpoint))
		}
		found, err := awsauth.NewCredentialsProvider(ctx, opts...).Retrieve(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: spec.provider: %w", ErrCredentials, err)
		}
		return credentials.NewStaticV4(found.AccessKeyID, found.SecretAccessKey, found.SessionToken), s.bound(), nil
	case s.STS != nil:
		return credentials.New(&credentials.LDAPIdentity{
			Client:      newClient(s.STS.Transport, tokenTimeout),
			STSEndpoint: s.STS.Endpoint, LDAPUsername: s.STS.Username, LDAPPassword: s.STS.Password,
		}), s.Transport, nil
	}
	return nil, s.Transport, nil
}

func (b *s3) List(ctx context.Context, prefix string, each func(Object) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	owner := false
	opts := minio.ListObjectsOptions{
		Recursive: true, Prefix: prefix, FetchOwner: &owner, UseV1: s3utils.IsGoogleEndpoint(*b.client.EndpointURL()),
	}
	for object := range b.client.ListObjectsIter(ctx, b.name, opts) {
		if object.Err != nil {
			return fmt.Errorf("listing objects from bucket '%s' failed: %w", b.name, object.Err)
		}
		if err := each(Object{Key: object.Key, ETag: object.ETag, Size: object.Size, match: object.ETag}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (b *s3) open(ctx context.Context, o Object) (content, error) {
	opts := minio.GetObjectOptions{}
	if o.match != "" {
		if err := opts.SetMatchETag(o.match); err != nil {
			return content{}, err
		}
	}
	object, err := b.client.GetObject(ctx, b.name, o.Key, opts)
	return content{ReadCloser: object}, err
}

func (*s3) isChanged(err error) bool {
	code := minio.ToErrorResponse(err).Code
	return code == "NoSuchKey" || code == "PreconditionFailed"
}

func (b *s3) Find(ctx context.Context, key string) (Object, bool, error) {
	info, err := b.client.StatObject(ctx, b.name, key, minio.StatObjectOptions{})
	switch {
	case err == nil:
		return Object{Key: key, ETag: info.ETag, Size: info.Size, match: info.ETag}, true, nil
	case minio.ToErrorResponse(err).Code == "NoSuchKey":
		return Object{}, false, nil
	}
	return Object{}, false, fmt.Errorf("looking for '%s': %w", key, err)
}
