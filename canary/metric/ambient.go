// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

// ambientCredentials is who the controller is in a cloud without a Secret: the identity of its
// pod, node or environment. It is kept, because finding it out takes requests.
type ambientCredentials struct {
	mu     sync.Mutex
	aws    map[string]aws.CredentialsProvider // by region
	google bearer
}

// maxRegions is more than AWS has. Templates name them.
const maxRegions = 100

// amazon is the identity in a region. It renews itself.
func (a *ambientCredentials) amazon(ctx context.Context, region string) (aws.CredentialsProvider, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if identity, ok := a.aws[region]; ok {
		return identity, nil
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err != nil {
		return nil, fmt.Errorf("looking for credentials for AWS: %w", err)
	}
	if a.aws == nil || len(a.aws) >= maxRegions {
		a.aws = map[string]aws.CredentialsProvider{}
	}
	a.aws[region] = cfg.Credentials
	return cfg.Credentials, nil
}

// bearer is a token for Google, and the project that it belongs to.
type bearer struct {
	mu      sync.Mutex
	token   *oauth2.Token
	project string
}

// get returns the token that there is, and asks for another when it expires.
func (b *bearer) get(ctx context.Context, issue func(context.Context) (*oauth2.Token, string, error)) (token, project string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.token.Valid() {
		if b.token, b.project, err = issue(ctx); err != nil {
			b.token = nil
			return "", "", err
		}
	}
	return b.token.AccessToken, b.project, nil
}

// ambientGoogle asks the metadata server, or reads what the environment names.
func ambientGoogle(ctx context.Context) (*oauth2.Token, string, error) {
	found, err := google.FindDefaultCredentials(ctx, monitoringScope)
	if err != nil {
		return nil, "", fmt.Errorf("looking for credentials for Google: %w", err)
	}
	token, err := found.TokenSource.Token()
	return token, found.ProjectID, err
}
