// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	azblobblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	azureauth "github.com/fluxcd/pkg/auth/azure"

	"github.com/sluice-cd/sluice/internal/identity"
)

type azure struct {
	client *azblob.Client
	name   string
}

func openAzure(ctx context.Context, s Settings, at *url.URL) (provider, error) {
	client, err := s.azureClient(ctx, at)
	if err != nil {
		return nil, err
	}
	return &azure{client: client, name: s.Name}, nil
}

// options are those of a client of Azure. What it would do elsewhere is up to the caller.
func (s Settings) options(transport http.RoundTripper) azcore.ClientOptions {
	return azcore.ClientOptions{
		Transport: newClient(transport, 0),
		Retry:     policy.RetryOptions{MaxRetries: retries - 1},
		Telemetry: policy.TelemetryOptions{Disabled: true},
	}
}

// azureClient is one with the first of these that the Secret has: an application with its
// secret or certificate, a managed identity, the key of the account, a shared access
// signature. Without a Secret it is the identity of the workload.
func (s Settings) azureClient(ctx context.Context, at *url.URL) (*azblob.Client, error) {
	opts := &azblob.ClientOptions{ClientOptions: s.options(s.Transport)}
	identified, err := s.identified(at)
	switch {
	case err != nil:
		return nil, err
	case identified:
		opts.ClientOptions = s.options(s.bound())
		return azblob.NewClient(at.String(), azureauth.NewTokenCredential(ctx, s.CloudIdentity...), opts)
	}
	token, err := s.azureToken(at)
	if err != nil {
		return nil, fmt.Errorf("%w: spec.secretRef: %w", ErrCredentials, err)
	}
	switch {
	case token != nil && s.Insecure:
		return nil, fmt.Errorf("%w: spec.insecure: Azure takes tokens over https only: remove it, or use an accountKey", ErrInvalid)
	case token != nil:
		return azblob.NewClient(at.String(), token, opts)
	case s.value("accountKey") != "":
		account, _, _ := strings.Cut(at.Hostname(), ".")
		key, err := azblob.NewSharedKeyCredential(account, s.value("accountKey"))
		if err != nil {
			return nil, fmt.Errorf("%w: 'accountKey' of spec.secretRef is not in base64", ErrCredentials)
		}
		return azblob.NewClientWithSharedKeyCredential(at.String(), key, opts)
	case s.value("sasKey") != "":
		query, err := url.ParseQuery(strings.TrimPrefix(strings.TrimSpace(s.value("sasKey")), "?"))
		if err != nil {
			return nil, fmt.Errorf("%w: 'sasKey' of spec.secretRef is no query such as sv=...&sig=...", ErrCredentials)
		}
		at.RawQuery = query.Encode()
		return azblob.NewClientWithNoCredential(at.String(), opts)
	}
	return nil, fmt.Errorf("%w: spec.secretRef requires 'accountKey', 'sasKey', 'clientId', or 'tenantId' and 'clientId' with "+
		"'clientSecret' or 'clientCertificate'", ErrCredentials)
}

// azureToken is that of an application or a managed identity; nil if the Secret has none.
func (s Settings) azureToken(at *url.URL) (azcore.TokenCredential, error) {
	tenant, client := s.value("tenantId"), s.value("clientId")
	options := s.options(s.Transport)
	if host := s.value("authorityHost"); host != "" {
		options.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: host}
	}
	switch {
	case client == "":
		return nil, nil
	case tenant != "" && s.value("clientSecret") != "":
		return azidentity.NewClientSecretCredential(tenant, client, s.value("clientSecret"),
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options})
	case tenant != "" && s.value("clientCertificate") != "":
		certs, key, err := azidentity.ParseCertificates(s.Secret["clientCertificate"], s.Secret["clientCertificatePassword"])
		if err != nil {
			return nil, errors.New("'clientCertificate' is no certificate with its key, or 'clientCertificatePassword' does not fit")
		}
		chain := s.value("clientCertificateSendChain")
		return azidentity.NewClientCertificateCredential(tenant, client, certs, key, &azidentity.ClientCertificateCredentialOptions{
			ClientOptions: options, SendCertificateChain: chain == "1" || strings.EqualFold(chain, "true"),
		})
	case tenant != "":
		return nil, nil
	}
	// A managed identity is one of the machine that this process runs on.
	use := identity.Use{Provider: Azure, Service: identity.Storage, URL: at, Route: s.Route}
	if err := use.Check(); err != nil {
		return nil, fmt.Errorf("%w: 'clientId' alone names a managed identity: %w", ErrInvalid, err)
	}
	return azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: azidentity.ClientID(client)})
}

func (b *azure) List(ctx context.Context, prefix string, each func(Object) error) error {
	pages := b.client.NewListBlobsFlatPager(b.name, &azblob.ListBlobsFlatOptions{Prefix: &prefix})
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("listing objects from bucket '%s' failed: %w", b.name, err)
		}
		if page.Segment == nil {
			continue
		}
		for _, item := range page.Segment.BlobItems {
			if item == nil || item.Name == nil || item.Properties == nil {
				continue
			}
			if err := each(azureObject(*item.Name, item.Properties.ETag, item.Properties.ContentLength)); err != nil {
				return err
			}
		}
	}
	return nil
}

func azureObject(key string, etag *azcore.ETag, size *int64) Object {
	o := Object{Key: key}
	if etag != nil {
		o.ETag, o.match = fmt.Sprintf("%x", *etag), string(*etag)
	}
	if size != nil {
		o.Size = *size
	}
	return o
}

func (b *azure) open(ctx context.Context, o Object) (content, error) {
	opts := &azblob.DownloadStreamOptions{}
	if o.match != "" {
		match := azcore.ETag(o.match)
		opts.AccessConditions = &azblobblob.AccessConditions{ModifiedAccessConditions: &azblobblob.ModifiedAccessConditions{IfMatch: &match}}
	}
	var answer *http.Response
	response, err := b.client.DownloadStream(policy.WithCaptureResponse(ctx, &answer), b.name, o.Key, opts)
	if err != nil {
		return content{}, err
	}
	return content{response.Body, answer != nil && answer.Uncompressed}, nil
}

func (*azure) isChanged(err error) bool {
	return bloberror.HasCode(err, bloberror.BlobNotFound, bloberror.ConditionNotMet)
}

func (b *azure) Find(ctx context.Context, key string) (Object, bool, error) {
	properties, err := b.client.ServiceClient().NewContainerClient(b.name).NewBlobClient(key).GetProperties(ctx, nil)
	var answer *azcore.ResponseError
	switch {
	case err == nil:
		return azureObject(key, properties.ETag, properties.ContentLength), true, nil
	case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		return Object{}, false, nil
	}
	return Object{}, false, fmt.Errorf("looking for '%s': %w", key, err)
}
