// SPDX-License-Identifier: Apache-2.0

package kubeconfig

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/auth/utils"
	"github.com/fluxcd/pkg/cache"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/keysize"
)

// ErrGate means that the identity of a ServiceAccount needs a feature gate that is off.
var ErrGate = fmt.Errorf("please enable the %s feature gate in the controller", auth.FeatureGateObjectLevelWorkloadIdentity)

// The providers of identities, as the ConfigMap of a kubeConfig spells them.
const (
	providerAWS     = "aws"
	providerAzure   = "azure"
	providerGCP     = "gcp"
	providerGeneric = "generic"
)

// clouds asks a provider where a cluster is, and for a token of its API server.
type clouds func(ctx context.Context, provider string, options ...auth.Option) (*auth.RESTConfig, error)

// realClouds are those of fluxcd/pkg.
func realClouds(ctx context.Context, provider string, options ...auth.Option) (*auth.RESTConfig, error) {
	by, err := utils.ProviderByName[auth.RESTConfigProvider](provider)
	if err != nil {
		return nil, err
	}
	return auth.GetRESTConfig(ctx, by, options...)
}

// identity is what the ConfigMap of a kubeConfig says.
type identity struct {
	provider, cluster, address, ca, account string
	audiences                               []string
}

// clusterOfEKS is the ARN of a cluster. Its region becomes part of a host's name, and must
// not make another host of it.
var clusterOfEKS = regexp.MustCompile(`^arn:aws[a-z-]{0,20}:eks:[a-z]{2,}(?:-[a-z]+)+-[0-9]+` +
	`:[0-9]{1,30}:cluster/[A-Za-z0-9][A-Za-z0-9_-]{0,99}$`)

func (r *Reader) readConfigMap(ctx context.Context, name types.NamespacedName) (*Config, error) {
	var cm corev1.ConfigMap
	if err := r.get(ctx, "ConfigMap", name, &cm); err != nil {
		return nil, err
	}
	who := identityOf(cm.Data, r.DefaultAccount)
	if err := who.check(); err != nil {
		return nil, fmt.Errorf("%w: ConfigMap %s: %w", ErrInvalid, name, err)
	}
	if who.account != "" && !auth.IsObjectLevelWorkloadIdentityEnabled() {
		return nil, fmt.Errorf("%w: ConfigMap %s: to use ServiceAccount %s for authentication %w", ErrInvalid, name, who.account, ErrGate)
	}
	token := newToken(r.fetcher(who, name), r.Clock)
	found, err := token.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking %s for the cluster of ConfigMap %s: %w", who.provider, name, err)
	}
	if err := who.leadsTo(found.Host); err != nil {
		return nil, fmt.Errorf("%w: ConfigMap %s: %w", ErrInvalid, name, err)
	}
	if err := keysize.CheckPEM(found.CAData); err != nil {
		return nil, fmt.Errorf("%w: ConfigMap %s: certificate authority: %w", ErrInvalid, name, err)
	}
	token.pin(found)
	text, err := json.Marshal(cm.Data)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(slices.Concat(text, []byte(found.Host), []byte{0}, found.CAData))
	return &Config{
		ID: fmt.Sprintf("ConfigMap/%s@%s", name, hex.EncodeToString(sum[:])), Name: name.Name, Version: cm.ResourceVersion, cloud: token,
		rest: &rest.Config{Host: found.Host, TLSClientConfig: rest.TLSClientConfig{CAData: found.CAData}}, guard: r.Guard,
	}, nil
}

func identityOf(data map[string]string, account string) identity {
	who := identity{
		provider: data[meta.KubeConfigKeyProvider], cluster: data[meta.KubeConfigKeyCluster], address: data[meta.KubeConfigKeyAddress],
		ca: data[meta.KubeConfigKeyCACert], account: cmp.Or(data[meta.KubeConfigKeyServiceAccountName], account),
	}
	for line := range strings.SplitSeq(data[meta.KubeConfigKeyAudiences], "\n") {
		if audience := strings.TrimSpace(line); audience != "" {
			who.audiences = append(who.audiences, audience)
		}
	}
	return who
}

// check refuses what would lead a token elsewhere than to the cluster that it is for. The
// identity of a ServiceAccount is the namespace's own, and goes where its ConfigMap says.
func (w identity) check() error {
	switch w.provider {
	case providerAWS:
		if !clusterOfEKS.MatchString(w.cluster) {
			return fmt.Errorf("cluster has to be an ARN such as arn:aws:eks:eu-west-1:123456789012:cluster/shop, not %q", w.cluster)
		}
	case providerGCP, providerAzure:
		if w.cluster == "" && (w.address == "" || w.ca == "") {
			return errors.New("cluster has to name the cluster in the cloud, unless address and ca.crt are both there")
		}
	case providerGeneric:
		if w.address == "" {
			return errors.New("address has to be that of the API server")
		}
	default:
		return fmt.Errorf("provider has to be aws, azure, gcp or generic, not %q", w.provider)
	}
	if w.account != "" {
		return nil
	}
	const own = "the controller's own identity "
	switch {
	case w.provider == providerGeneric:
		return errors.New(own + "is not sent to an address that an object names: set serviceAccountName")
	case w.ca != "":
		return errors.New(own + "does not go past another certificate authority than the cluster's: remove ca.crt, or set serviceAccountName")
	}
	return nil
}

// leadsTo refuses an address that is not the one of the cluster. With the identity of a
// ServiceAccount, the address was used as it is.
func (w identity) leadsTo(host string) error {
	if w.account != "" || w.address == "" {
		return nil
	}
	want, err := auth.ParseClusterAddress(w.address)
	if err != nil {
		return fmt.Errorf("address %q is no address of an API server", w.address)
	}
	if is, err := auth.ParseClusterAddress(host); err != nil || is != want {
		return fmt.Errorf("the controller's own identity goes to the cluster's own address %s only, not to %s: "+
			"remove address, or set serviceAccountName", host, w.address)
	}
	return nil
}

// fetcher asks for the cluster and a token. The controller's own identity is given no
// address but to compare it: Azure knows several of a cluster, of which it looks for that one.
func (r *Reader) fetcher(who identity, name types.NamespacedName) func(context.Context) (*auth.RESTConfig, error) {
	options := []auth.Option{auth.WithClient(r.Client), auth.WithAudiences(who.audiences...)}
	if r.Tokens != nil {
		options = append(options, auth.WithCache(*r.Tokens, cache.InvolvedObject{
			Kind: "ConfigMap", Name: name.Name, Namespace: name.Namespace, Operation: "reconcile",
		}))
	}
	if who.cluster != "" {
		options = append(options, auth.WithClusterResource(who.cluster))
	}
	if who.account != "" {
		options = append(options, auth.WithServiceAccountName(who.account), auth.WithServiceAccountNamespace(name.Namespace))
	}
	if who.address != "" && (who.account != "" || who.provider == providerAzure) {
		options = append(options, auth.WithClusterAddress(who.address))
	}
	if who.ca != "" {
		options = append(options, auth.WithCAData(who.ca))
	}
	ask := r.clouds
	if ask == nil {
		ask = realClouds
	}
	return func(ctx context.Context) (*auth.RESTConfig, error) { return ask(ctx, who.provider, options...) }
}

// early is how long before it expires a token is replaced.
const early = time.Minute

// token is one that expires, of a cluster that may move.
type token struct {
	fetch func(context.Context) (*auth.RESTConfig, error)
	clock clock.PassiveClock
	moved atomic.Bool

	// asking is one question to the cloud for all who need the token.
	asking background.Group[struct{}, *auth.RESTConfig]

	mu     sync.Mutex
	last   *auth.RESTConfig
	pinned *auth.RESTConfig
	// failure is that of the last question, which counts for a moment.
	failure  error
	failedAt time.Time
}

func newToken(fetch func(context.Context) (*auth.RESTConfig, error), clk clock.PassiveClock) *token {
	return &token{fetch: fetch, clock: clk, asking: background.Group[struct{}, *auth.RESTConfig]{Timeout: discoveryTimeout}}
}

// errMoved says that requests would go to where the cluster was.
var errMoved = errors.New("the cluster has another address or certificate authority by now")

// pin makes the token one for this address and authority only.
func (t *token) pin(to *auth.RESTConfig) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pinned = to
}

// get returns the token, a new one if need be. It waits for no longer than ctx.
func (t *token) get(ctx context.Context) (*auth.RESTConfig, error) {
	if known, err := t.known(); known != nil || err != nil {
		return known, err
	}
	return t.asking.Do(ctx, struct{}{}, func(ctx context.Context) (*auth.RESTConfig, error) {
		if known, err := t.known(); known != nil || err != nil { // of the question before
			return known, err
		}
		var found *auth.RESTConfig
		err := background.Try(ctx, func() (err error) { // a panic is remembered, too
			found, err = t.fetch(ctx)
			return err
		})
		return t.store(found, err)
	})
}

// known is the token that is still good, or why there was none a moment ago.
func (t *token) known() (*auth.RESTConfig, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	if t.last != nil && now.Add(early).Before(t.last.ExpiresAt) {
		return t.last, nil
	}
	if t.failure != nil && now.Sub(t.failedAt) < fresh {
		return nil, t.failure
	}
	return nil, nil
}

// store remembers the answer of the cloud.
func (t *token) store(found *auth.RESTConfig, err error) (*auth.RESTConfig, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil && t.pinned != nil && (found.Host != t.pinned.Host || string(found.CAData) != string(t.pinned.CAData)) {
		t.moved.Store(true)
		err = errMoved
	}
	if t.failure, t.failedAt = err, t.clock.Now(); err != nil {
		return nil, err
	}
	t.last = found
	return found, nil
}

// authenticating adds the token to each request to the one server that it is for.
type authenticating struct {
	next  http.RoundTripper
	token *token
	to    *url.URL
}

// RoundTrip implements http.RoundTripper.
func (a authenticating) RoundTrip(req *http.Request) (*http.Response, error) {
	with, err := a.tokenFor(req)
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+with.BearerToken)
	return a.next.RoundTrip(req)
}

func (a authenticating) tokenFor(req *http.Request) (*auth.RESTConfig, error) {
	if req.URL.Scheme != a.to.Scheme || req.URL.Host != a.to.Host {
		return nil, fmt.Errorf("the token is for %s only, and not for %s", a.to.Host, req.URL.Host)
	}
	with, err := a.token.get(req.Context())
	if err != nil {
		return nil, fmt.Errorf("asking for a token: %w", err)
	}
	return with, nil
}
