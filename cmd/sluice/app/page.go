// SPDX-License-Identifier: Apache-2.0

package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/scan"
	"github.com/sluice-cd/sluice/ui"
)

// pageFlags say whether the web page is served in the cluster, and to whom.
type pageFlags struct {
	addr, url         string
	certFile, keyFile string
	sessionKeyFile    string
	sessionLifetime   time.Duration
	anonymous         bool
	oidc              oidcFlags
}

// oidcFlags are named, and mean, what those of the API server do.
type oidcFlags struct {
	issuer, clientID, clientSecretFile, caFile string
	usernameClaim, usernamePrefix              string
	groupsClaim, groupsPrefix                  string
	scopes                                     []string
}

func (f *pageFlags) register(set *pflag.FlagSet) {
	set.StringVar(&f.addr, "ui-addr", "0", "where the web page is served to people who sign in, such as :8443; 0 disables it")
	set.StringVar(&f.url, "ui-url", "", "URL where people reach the page of --ui-addr, such as https://sluice.example.com")
	set.StringVar(&f.certFile, "ui-tls-cert-file", "", "certificate of the page, read again when it changes; "+
		"default: no TLS, for an Ingress that ends it")
	set.StringVar(&f.keyFile, "ui-tls-key-file", "", "private key of --ui-tls-cert-file")
	set.StringVar(&f.sessionKeyFile, "ui-session-key-file", "", "file of 32 bytes or more that sealed sessions are read with "+
		"by all replicas; default: sessions end with the process")
	set.DurationVar(&f.sessionLifetime, "ui-session-lifetime", 8*time.Hour, "how long people stay signed in")
	set.BoolVar(&f.anonymous, "ui-anonymous", false, "let people look without signing in, with the rights of the user "+
		ui.AnonymousUser+", who may change nothing")
	o := &f.oidc
	set.StringVar(&o.issuer, "ui-oidc-issuer-url", "", "URL of an OpenID Connect provider that people sign in at; "+
		"default: they sign in with tokens of the API server")
	set.StringVar(&o.clientID, "ui-oidc-client-id", "",
		"what the provider knows the page by; its redirect URL is that of --ui-url with /login/callback")
	set.StringVar(&o.clientSecretFile, "ui-oidc-client-secret-file", "", "file with the secret of --ui-oidc-client-id")
	set.StringVar(&o.caFile, "ui-oidc-ca-file", "", "certificates that the provider's is signed by; default: those of the system")
	set.StringVar(&o.usernameClaim, "ui-oidc-username-claim", "email", "claim that is the name of the user")
	set.StringVar(&o.usernamePrefix, "ui-oidc-username-prefix", "", "what comes before the name, "+
		"as with the API server's flag; default: the issuer and #, but nothing for the claim email; - is nothing")
	set.StringVar(&o.groupsClaim, "ui-oidc-groups-claim", "groups", "claim that has the groups of the user")
	set.StringVar(&o.groupsPrefix, "ui-oidc-groups-prefix", "", "what comes before each group, as with the API server's flag")
	set.StringSliceVar(&o.scopes, "ui-oidc-scopes", []string{"profile", "email"},
		"scopes to ask for beside openid; some providers want groups")
}

// enabled reports whether the page is served.
func (f *pageFlags) enabled() bool { return listensAt(f.addr) }

func (f *pageFlags) validate() error {
	if !f.enabled() {
		return nil
	}
	u, err := url.Parse(f.url)
	var failed []error
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || strings.Trim(u.Path, "/") != "":
		failed = append(failed, errors.New("--ui-url: name the URL where people reach the page of --ui-addr, such as https://sluice.example.com"))
	case u.Scheme == "http" && !isLoopback(u.Host):
		failed = append(failed, errors.New("--ui-url: has to be https, or tokens and cookies could be read on their way; "+
			"http is for loopback alone"))
	}
	if (f.certFile == "") != (f.keyFile == "") {
		failed = append(failed, errors.New("--ui-tls-cert-file and --ui-tls-key-file go together"))
	}
	if f.sessionLifetime <= 0 {
		failed = append(failed, fmt.Errorf("--ui-session-lifetime: must be positive, is %s", f.sessionLifetime))
	}
	return errors.Join(append(failed, f.oidc.validate())...)
}

func (o *oidcFlags) validate() error {
	if o.issuer == "" {
		if o.clientID != "" || o.clientSecretFile != "" {
			return errors.New("--ui-oidc-client-id and --ui-oidc-client-secret-file need --ui-oidc-issuer-url")
		}
		return nil
	}
	u, err := url.Parse(o.issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && !isLoopback(u.Host):
		return errors.New("--ui-oidc-issuer-url: name the https URL of the provider, as its tokens spell it")
	case o.clientID == "":
		return errors.New("--ui-oidc-client-id: name what the provider knows the page by")
	case o.usernameClaim == "":
		return errors.New("--ui-oidc-username-claim: name the claim that is the name of the user, such as email")
	}
	return nil
}

// page serves the web page in the cluster, by every replica.
type page struct {
	server   *ui.Server
	listener net.Listener
	commits  *commits
	certs    *certwatcher.CertWatcher
}

// NeedLeaderElection says that every replica serves the page.
func (*page) NeedLeaderElection() bool { return false }

// Start serves until ctx ends.
func (p *page) Start(ctx context.Context) error {
	failed := make(chan error, 4)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	running := []func(context.Context) error{
		p.server.Run, func(ctx context.Context) error { return p.server.Serve(ctx, p.listener) }, p.commits.run,
	}
	if p.certs != nil {
		running = append(running, p.certs.Start)
	}
	for _, run := range running {
		go func() { failed <- background.Try(ctx, func() error { return run(ctx) }) }()
	}
	var all []error
	for range running {
		if err := <-failed; err != nil {
			all = append(all, err)
		}
		cancel()
	}
	return errors.Join(all...)
}

// page sets up the web page, which has a cache of its own: it shows kinds that this process may not serve.
func (w *wiring) page() error {
	f := &w.flags.page
	if !f.enabled() {
		return nil
	}
	config := rest.CopyConfig(w.mgr.GetConfig())
	cluster, err := ui.NewCluster(config, w.flags.watch.only(w.flags.namespace), "")
	if err != nil {
		return err
	}
	signIn, err := f.signIn(config)
	if err != nil {
		return err
	}
	cluster.Name = cmp.Or(w.flags.canary.alerts.ClusterName, signIn.URL.Host) // the API server's address in here says nothing
	logger := w.mgr.GetLogger().WithName("ui")
	changed := newCommits(w.mirrors, mirrorsIn(w, "page"), w.mgr.GetAPIReader(), w.credentials(), w.clock)
	server, err := ui.NewServer(ui.Options{
		Cluster: cluster, SignIn: signIn, Tags: w.tagsKnown, Record: w.recordAction, Commits: changed,
		Version: w.flags.version, Clock: w.clock, Log: logger,
		Unavailable: func(err error) { logger.Error(err, "the page waits for the API server") },
	})
	if err != nil {
		return err
	}
	p := &page{server: server, commits: changed}
	if p.listener, err = net.Listen("tcp", f.addr); err != nil {
		return fmt.Errorf("--ui-addr: %w", err)
	}
	p.listener = ui.Bounded(p.listener)
	if f.certFile != "" {
		if p.certs, err = certwatcher.New(f.certFile, f.keyFile); err != nil {
			return fmt.Errorf("--ui-tls-cert-file: %w", err)
		}
		p.listener = tls.NewListener(p.listener, tlsOf(p.certs))
	}
	return w.mgr.Add(p)
}

// tlsOf serves a certificate as it is now.
func tlsOf(certs *certwatcher.CertWatcher) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certs.GetCertificate, NextProtos: ui.Protocols}
}

// signIn says who may come in.
func (f *pageFlags) signIn(config *rest.Config) (*ui.SignIn, error) {
	u, err := url.Parse(f.url)
	if err != nil {
		return nil, fmt.Errorf("--ui-url: %w", err)
	}
	var of []byte
	if f.sessionKeyFile != "" {
		if of, err = os.ReadFile(f.sessionKeyFile); err != nil {
			return nil, fmt.Errorf("--ui-session-key-file: %w", err)
		}
		if len(of) == 0 {
			return nil, fmt.Errorf("--ui-session-key-file: %s is empty", f.sessionKeyFile)
		}
	}
	key, err := ui.SessionKey(of)
	if err != nil {
		return nil, fmt.Errorf("--ui-session-key-file: %s %w", f.sessionKeyFile, err)
	}
	s := &ui.SignIn{URL: u, Config: config, Key: key, Lifetime: f.sessionLifetime, Anonymous: f.anonymous}
	if f.oidc.issuer != "" {
		s.OIDC, err = f.oidc.provider()
	}
	return s, err
}

func (o *oidcFlags) provider() (*ui.OIDC, error) {
	var trusted *tls.Config
	if o.caFile != "" {
		text, err := os.ReadFile(o.caFile)
		if err != nil {
			return nil, fmt.Errorf("--ui-oidc-ca-file: %w", err)
		}
		trusted = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
		if !trusted.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--ui-oidc-ca-file: %s has no certificate", o.caFile)
		}
	}
	secret := ""
	if o.clientSecretFile != "" {
		text, err := os.ReadFile(o.clientSecretFile)
		if err != nil {
			return nil, fmt.Errorf("--ui-oidc-client-secret-file: %w", err)
		}
		secret = strings.TrimSpace(string(text))
	}
	return &ui.OIDC{
		Issuer: o.issuer, ClientID: o.clientID, ClientSecret: secret, Scopes: o.scopes,
		UsernameClaim: o.usernameClaim, UsernamePrefix: o.prefix(), GroupsClaim: o.groupsClaim, GroupsPrefix: o.groupsPrefix,
		Client: outbound.NewClient(outbound.Unguarded().TransportVia(trusted, nil), outbound.Rules{
			Redirects: outbound.AnyServer, Timeout: providerTimeout,
			Limits: outbound.Limits{Bytes: maxProviderAnswer, What: "the answer of --ui-oidc-issuer-url"},
		}),
	}, nil
}

// prefix comes before the name of a user, as with the API server: names that people may give themselves are told apart
// by their issuer unless that is declined.
func (o *oidcFlags) prefix() string {
	switch {
	case o.usernamePrefix == "-":
		return ""
	case o.usernamePrefix == "" && o.usernameClaim != "email":
		return o.issuer + "#"
	}
	return o.usernamePrefix
}

// Bounds of a request to the provider that people sign in at, and of its answer in bytes.
const (
	providerTimeout   = 10 * time.Second
	maxProviderAnswer = 1 << 20
)

// tagsKnown are the tags that this process has listed: on behalf of people at the page, no registry is asked.
func (w *wiring) tagsKnown(_ context.Context, _ client.Client, repo *imagev1.ImageRepository) (ui.Tags, error) {
	if w.scanner == nil {
		return ui.Tags{}, errors.New("the tags are not known here, since another process scans images: run sluice explain policy")
	}
	target, err := scan.NewTarget(repo)
	if err != nil {
		return ui.Tags{}, err
	}
	snapshot, ok := w.scanner.Store().Get(client.ObjectKeyFromObject(repo), target)
	if !ok {
		return ui.Tags{}, fmt.Errorf("the tags of ImageRepository %s/%s are not known here yet: the replica that leads scans it, "+
			"at the next interval after its start; sluice explain policy asks the registry itself", repo.Namespace, repo.Name)
	}
	tags := ui.Tags{FirstSeen: snapshot.FirstSeen}
	for tag := range snapshot.All() {
		tags.Names = append(tags.Names, strings.Clone(tag))
	}
	return tags, nil
}

// recordAction leaves an event of what somebody did at the page.
func (w *wiring) recordAction(of client.Object, user string, what ui.Action) {
	w.options.Recorder.Event(of, reconciler.Event{
		Type: corev1.EventTypeNormal, Reason: sluicev1.CommandGivenReason, Message: what.Sentence(user),
	})
}
