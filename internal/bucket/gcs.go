// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	gcpauth "github.com/fluxcd/pkg/auth/gcp"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/api/storage/v1"
)

type gcs struct {
	service *storage.Service
	name    string
}

func openGCS(ctx context.Context, s Settings, at *url.URL) (provider, error) {
	tokens, transport, err := s.gcpTokens(ctx, at)
	if err != nil {
		return nil, err
	}
	authenticated := newClient(&oauth2.Transport{Source: tokens, Base: transport}, 0)
	service, err := storage.NewService(ctx, option.WithHTTPClient(authenticated), option.WithEndpoint(at.String()+"/storage/v1/"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return &gcs{service: service, name: s.Name}, nil
}

// gcpTokens are those of the key of a service account in the Secret, or of the workload.
func (s Settings) gcpTokens(ctx context.Context, at *url.URL) (oauth2.TokenSource, http.RoundTripper, error) {
	identified, err := s.identified(at)
	switch {
	case err != nil:
		return nil, nil, err
	case identified:
		return oauth2.ReuseTokenSource(nil, gcpauth.NewTokenSource(ctx, s.CloudIdentity...)), s.bound(), nil
	}
	key, ok := s.Secret["serviceaccount"]
	if !ok {
		return nil, nil, fmt.Errorf("%w: required field 'serviceaccount' of spec.secretRef", ErrCredentials)
	}
	// Of the kinds of credentials only a key is one of its own: others name files of this
	// machine, and URLs of its network.
	config, err := google.JWTConfigFromJSON(key, storage.DevstorageReadOnlyScope)
	if err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			err = errors.New("it is no JSON")
		}
		return nil, nil, fmt.Errorf("%w: 'serviceaccount' of spec.secretRef is no key of a service account: %w", ErrCredentials, err)
	}
	// Tokens are asked for again after this look, too.
	ctx = context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, newClient(s.Transport, tokenTimeout))
	return config.TokenSource(ctx), s.Transport, nil
}

func (b *gcs) List(ctx context.Context, prefix string, each func(Object) error) error {
	list := b.service.Objects.List(b.name).Prefix(prefix).Fields("items(name,etag,size,generation)", "nextPageToken")
	err := list.Pages(ctx, func(page *storage.Objects) error {
		for _, object := range page.Items {
			if err := each(gcsObject(object)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("listing objects from bucket '%s' failed: %w", b.name, err)
	}
	return nil
}

func gcsObject(object *storage.Object) Object {
	return Object{Key: object.Name, ETag: object.Etag, Size: int64(min(object.Size, 1<<62)), match: fmt.Sprint(object.Generation)}
}

func (b *gcs) open(ctx context.Context, o Object) (content, error) {
	get := b.service.Objects.Get(b.name, o.Key).Context(ctx)
	var generation int64
	if _, err := fmt.Sscan(o.match, &generation); err == nil && generation > 0 {
		get = get.IfGenerationMatch(generation)
	}
	response, err := get.Download() //nolint:bodyclose // who reads the content closes it
	if err != nil {
		return content{}, err
	}
	return content{response.Body, response.Uncompressed}, nil
}

func (*gcs) isChanged(err error) bool {
	return isGCS(err, http.StatusNotFound) || isGCS(err, http.StatusPreconditionFailed)
}

func isGCS(err error, code int) bool {
	var answer *googleapi.Error
	return errors.As(err, &answer) && answer.Code == code
}

func (b *gcs) Find(ctx context.Context, key string) (Object, bool, error) {
	object, err := b.service.Objects.Get(b.name, key).Fields("name", "etag", "size", "generation").Context(ctx).Do()
	switch {
	case err == nil:
		return gcsObject(object), true, nil
	case isGCS(err, http.StatusNotFound):
		return Object{}, false, nil
	}
	return Object{}, false, fmt.Errorf("looking for '%s': %w", key, err)
}
