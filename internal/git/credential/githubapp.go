// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fluxcd/pkg/auth/githubapp"
	"github.com/fluxcd/pkg/cache"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/keysize"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// githubAPI is where tokens of Apps are made unless the Secret says otherwise.
const githubAPI = "https://api.github.com"

// gitHubApp gets tokens of the App of the Secret.
func gitHubApp(r request) (*git.Tokens, error) {
	if r.secret == nil || len(r.secret.Data[githubapp.KeyAppID]) == 0 {
		return nil, fmt.Errorf("%w: secretRef with github app data must be specified when provider is set to github", ErrProvider)
	}
	tokens, err := AppTokens(r.secret, AppOptions{
		Guard: r.Guard, Clock: r.Clock, Proxy: r.proxy, Tokens: r.Tokens, Kind: sourcev1.GitRepositoryKind, Name: r.repo.Name,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: secret '%s/%s': %w", ErrProvider, r.secret.Namespace, r.secret.Name, err)
	}
	return tokens, nil
}

// AppOptions are what tokens of a GitHub App need.
type AppOptions struct {
	// Guard is what connections to GitHub's API go through; nil forbids nothing.
	Guard *outbound.Guard
	// Clock dates assertions; nil is the machine's.
	Clock clock.PassiveClock
	// Proxy may be nil.
	Proxy *url.URL
	// Tokens keeps tokens for most of their life; nil keeps none.
	Tokens *cache.TokenCache
	// Kind and Name are of the object in the Secret's namespace that the tokens are for.
	Kind, Name string
}

// AppTokens returns tokens of an App's installation, for Git and for GitHub's API. The
// API is where the Secret says, so that it may be anybody's: it is reached through the
// guard, and its answers are bounded and not told.
func AppTokens(secret *corev1.Secret, opts AppOptions) (*git.Tokens, error) {
	app, err := newApp(secret, opts)
	if err != nil {
		return nil, err
	}
	id := identityID(sourcev1.GitProviderGitHub, secret.Namespace,
		string(secret.Data[githubapp.KeyAppID]), string(secret.Data[githubapp.KeyAppInstallationID]),
		string(secret.Data[githubapp.KeyAppInstallationOwner]), string(secret.Data[githubapp.KeyAppBaseURL]),
		string(secret.Data[githubapp.KeyAppPrivateKey]))
	get := app.token
	if opts.Tokens != nil {
		get = func(ctx context.Context) (*appToken, error) {
			found, _, err := opts.Tokens.GetOrSet(ctx, id, func(ctx context.Context) (cache.Token, error) { return app.token(ctx) },
				cache.WithInvolvedObject(opts.Kind, opts.Name, secret.Namespace, cache.OperationReconcile))
			if err != nil {
				return nil, err
			}
			return found.(*appToken), nil
		}
	}
	return &git.Tokens{ID: id, Get: func(ctx context.Context) (git.Token, error) {
		token, err := get(ctx)
		if err != nil {
			return git.Token{}, err
		}
		return git.Token{Username: githubapp.AccessTokenUsername, Password: token.text}, nil
	}}, nil
}

// app is a GitHub App as one of its installations.
type app struct {
	id, installation, owner string
	key                     *rsa.PrivateKey
	api                     *url.URL
	client                  *http.Client
	clock                   clock.PassiveClock
}

// appToken is a token of an installation.
type appToken struct {
	text string
	life time.Duration
}

// GetDuration implements cache.Token.
func (t *appToken) GetDuration() time.Duration { return t.life }

// newApp reads the data of an App. Errors name keys and no values.
func newApp(secret *corev1.Secret, opts AppOptions) (*app, error) {
	value := func(key string) string { return strings.TrimSpace(string(secret.Data[key])) }
	a := &app{
		id: value(githubapp.KeyAppID), installation: value(githubapp.KeyAppInstallationID), owner: value(githubapp.KeyAppInstallationOwner),
		clock: opts.Clock,
	}
	if a.clock == nil {
		a.clock = clock.RealClock{}
	}
	if _, err := strconv.ParseUint(a.id, 10, 63); err != nil {
		return nil, fmt.Errorf("'%s' is no number", githubapp.KeyAppID)
	}
	if _, err := strconv.ParseUint(a.installation, 10, 63); a.installation != "" && err != nil {
		return nil, fmt.Errorf("'%s' is no number", githubapp.KeyAppInstallationID)
	}
	if (a.installation == "") == (a.owner == "") {
		return nil, fmt.Errorf("either '%s' or '%s' is needed", githubapp.KeyAppInstallationID, githubapp.KeyAppInstallationOwner)
	}
	var err error
	if a.key, err = appKey(secret.Data[githubapp.KeyAppPrivateKey]); err != nil {
		return nil, err
	}
	if a.api, err = appAPI(value(githubapp.KeyAppBaseURL)); err != nil {
		return nil, err
	}
	a.client, err = appClient(secret, opts)
	return a, err
}

func appKey(data []byte) (*rsa.PrivateKey, error) {
	unusable := fmt.Errorf("'%s' is no RSA key in PEM", githubapp.KeyAppPrivateKey)
	if err := keysize.CheckPEM(data); err != nil {
		return nil, fmt.Errorf("'%s': %w", githubapp.KeyAppPrivateKey, err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, unusable
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if key, ok := parsed.(*rsa.PrivateKey); ok && err == nil {
		return key, nil
	}
	return nil, unusable
}

// appAPI is the URL of the API, as it is.
func appAPI(base string) (*url.URL, error) {
	if base == "" {
		base = githubAPI
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("'%s' is no URL", githubapp.KeyAppBaseURL)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "/")}, nil
}

// appClient follows no redirect: the assertion goes nowhere else.
func appClient(secret *corev1.Secret, opts AppOptions) (*http.Client, error) {
	settings := outbound.Settings{CA: string(secret.Data["ca.crt"])}
	if opts.Proxy != nil {
		settings.Proxy = opts.Proxy.String()
	}
	transport, err := opts.Guard.TransportFor(settings)
	if err != nil {
		return nil, err
	}
	transport.DisableKeepAlives = true // a token lasts an hour
	return outbound.NewClient(transport, outbound.Rules{
		Redirects: outbound.Return, Limits: outbound.Limits{Bytes: maxAppAnswer},
	}), nil
}

// token makes a token of the installation.
func (a *app) token(ctx context.Context) (*appToken, error) {
	id, err := a.installationID(ctx)
	if err != nil {
		return nil, err
	}
	var made struct {
		Token   string    `json:"token"`
		Expires time.Time `json:"expires_at"`
	}
	if err := a.ask(ctx, http.MethodPost, "/app/installations/"+id+"/access_tokens", &made); err != nil {
		return nil, fmt.Errorf("making a token of installation %s: %w", id, err)
	}
	if made.Token == "" {
		return nil, errors.New("GitHub's API gave no token")
	}
	return &appToken{made.Token, made.Expires.Sub(a.clock.Now())}, nil
}

// installationID is that of the Secret, or of its owner: an organization or a user.
func (a *app) installationID(ctx context.Context) (string, error) {
	if a.installation != "" {
		return a.installation, nil
	}
	var err error
	for _, kind := range []string{"orgs", "users"} {
		var found struct {
			ID int64 `json:"id"`
		}
		if err = a.ask(ctx, http.MethodGet, "/"+kind+"/"+url.PathEscape(a.owner)+"/installation", &found); err == nil {
			return strconv.FormatInt(found.ID, 10), nil
		}
	}
	return "", fmt.Errorf("finding the installation of %s: %w", a.owner, err)
}

// maxAppAnswer bounds an answer of the API.
const maxAppAnswer = 1 << 20

// ask sends one request and decodes the answer.
func (a *app) ask(ctx context.Context, method, path string, into any) error {
	assertion, err := a.assertion()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, a.api.String()+path, nil)
	if err != nil {
		return errors.New("the URL of GitHub's API cannot be used")
	}
	req.Header.Set("Authorization", "Bearer "+assertion)
	req.Header.Set("Accept", "application/vnd.github+json")
	resp, err := a.client.Do(req)
	if err != nil {
		return fmt.Errorf("asking GitHub's API: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("GitHub's API at %s answers with status %d %s", a.api.Host, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("GitHub's API at %s answers with something else than expected", a.api.Host)
	}
	return nil
}

// Times of an assertion: clocks differ, and ten minutes are the most that GitHub takes.
const (
	appDrift = 30 * time.Second
	appLife  = 2 * time.Minute
)

// assertion is the JSON Web Token (RFC 7519) by which an App says who it is.
func (a *app) assertion() (string, error) {
	issued := a.clock.Now().Add(-appDrift)
	claims, err := json.Marshal(map[string]any{"iss": a.id, "iat": issued.Unix(), "exp": issued.Add(appLife).Unix()})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", errors.New("the App's private key cannot sign")
	}
	return text + "." + encode(signature), nil
}
