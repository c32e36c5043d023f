// SPDX-License-Identifier: Apache-2.0

// Package artifact is the commands about artifacts of manifests in a registry, which an
// OCIRepository fetches: to push a directory as one, and to pull, tag, list and compare
// them.
//
//	directory --> tarball                                                build
//	directory --> tarball (fluxcd/pkg/tar) --> artifact --> registry     push
//	registry --> artifact --> directory                                  pull
//
// They take and leave what those of Flux's CLI do: an artifact has the media types, the
// annotations and, if it is made to be reproducible, the digest that `flux push artifact`
// gives it.
package artifact

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/auth/utils"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/logs"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/usage"
	"github.com/sluice-cd/sluice/internal/identity"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// scheme is what the URL of an artifact begins with.
const scheme = "oci://"

// generic is the provider that is none: credentials come from --creds or from Docker's
// configuration.
const generic = "generic"

var providers = []string{generic, "aws", "azure", "gcp"}

// access is how a registry is reached, as the flags say.
type access struct {
	version  string
	creds    string
	provider string
	insecure bool
	debug    bool
	timeout  time.Duration
}

func (a *access) register(cmd *cobra.Command) {
	set := cmd.Flags()
	set.StringVar(&a.creds, "creds", "", "USERNAME:PASSWORD, or a token, for the registry; default: those of ~/.docker/config.json")
	set.StringVar(&a.provider, "provider", generic, "log in with your identity in a cloud: "+strings.Join(providers, ", "))
	set.BoolVar(&a.insecure, "insecure-registry", false, "reach the registry without TLS, or without checking its certificate")
	set.BoolVar(&a.debug, "debug", false, "print what goes wrong on the way to the registry, also if it is tried again")
	set.DurationVar(&a.timeout, "timeout", 5*time.Minute, "give up after this time")
	_ = cmd.RegisterFlagCompletionFunc("provider", cobra.FixedCompletions(providers, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
}

// oneURL wants the URL of one artifact, or of a repository of them.
func oneURL(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return fmt.Errorf("%s needs one URL, not %d: %s", cmd.CommandPath(), len(args), cmd.UseLine())
}

// address is what an URL names in its registry, without the scheme.
func address(arg string) (string, error) {
	rest, is := strings.CutPrefix(arg, scheme)
	if !is {
		return "", fmt.Errorf("URL %s: it has to begin with %s, as in %sghcr.io/acme/app:1.0.0", arg, scheme, scheme)
	}
	return rest, nil
}

// reference is the artifact that an URL names.
func (a *access) reference(arg string) (name.Reference, error) {
	rest, err := address(arg)
	if err != nil {
		return nil, err
	}
	ref, err := name.ParseReference(rest, a.names()...)
	if err != nil {
		return nil, fmt.Errorf("URL %s: %w", arg, err)
	}
	return ref, nil
}

func (a *access) names() []name.Option {
	if a.insecure {
		return []name.Option{name.Insecure}
	}
	return nil
}

// start is the context of a command, and what its requests to a repository are made with.
func (a *access) start(cmd *cobra.Command, to name.Repository) (context.Context, context.CancelFunc, []remote.Option, error) {
	if a.debug {
		logs.Warn.SetOutput(cmd.ErrOrStderr())
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	if a.timeout > 0 {
		cancel()
		ctx, cancel = context.WithTimeoutCause(cmd.Context(), a.timeout, fmt.Errorf("--timeout %s is over", a.timeout))
	}
	auth, err := a.login(ctx, to)
	if err != nil {
		cancel()
		return nil, nil, nil, err
	}
	options := []remote.Option{
		remote.WithContext(ctx), remote.WithUserAgent("sluice/" + a.version), auth,
		// Registries of clouds answer so to who pushes a lot, which the library takes for final.
		remote.WithRetryStatusCodes(http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout),
		remote.WithRetryBackoff(remote.Backoff{Duration: time.Second, Factor: 3, Jitter: 0.1, Steps: 5}),
		remote.WithJobs(jobs),
	}
	if a.insecure {
		transport, err := outbound.Unguarded().TransportFor(outbound.Settings{Insecure: true})
		if err != nil {
			cancel()
			return nil, nil, nil, err
		}
		options = append(options, remote.WithTransport(transport))
	}
	return ctx, cancel, options, nil
}

// jobs is how many requests are under way at once.
const jobs = 8

// login says by what a repository knows who asks.
func (a *access) login(ctx context.Context, to name.Repository) (remote.Option, error) {
	if !slices.Contains(providers, a.provider) {
		return nil, fmt.Errorf("--provider: unknown %q; known: %s", a.provider, strings.Join(providers, ", "))
	}
	switch {
	case a.provider != generic && a.creds != "":
		return nil, errors.New("--creds is for --provider generic: leave out one of them")
	case a.provider != generic:
		auth, err := a.cloud(ctx, to)
		return remote.WithAuth(auth), err
	case a.creds == "":
		return remote.WithAuthFromKeychain(authn.DefaultKeychain), nil
	}
	username, password, pair := strings.Cut(a.creds, ":")
	if !pair {
		return remote.WithAuth(authn.FromConfig(authn.AuthConfig{RegistryToken: a.creds})), nil
	}
	return remote.WithAuth(authn.FromConfig(authn.AuthConfig{Username: username, Password: password})), nil
}

// cloud logs in with the identity that this machine has in a cloud, which is shown to that
// cloud's own registries only.
func (a *access) cloud(ctx context.Context, to name.Repository) (authn.Authenticator, error) {
	if a.insecure {
		return nil, fmt.Errorf("--insecure-registry beside --provider %s: an identity in a cloud goes over https only", a.provider)
	}
	use := identity.Use{
		Provider: a.provider, Service: identity.Registry, URL: &url.URL{Scheme: to.Scheme(), Host: to.RegistryStr()},
	}
	if err := use.Check(); err != nil {
		return nil, fmt.Errorf("--provider: %w", err)
	}
	auth, err := utils.GetArtifactRegistryCredentials(ctx, a.provider, to.Name())
	if err != nil {
		return nil, fmt.Errorf("--provider: %w", err)
	}
	return auth, nil
}

// failure is what ended a command: the limit of time, if that did.
func failure(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// checkPath refuses a path that names nothing.
func checkPath(path string) error {
	if path == "" {
		return errors.New("--path is missing: name a directory or a file")
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("--path: %w", err)
	}
	return nil
}

// Group is a command that only has others below it, about artifacts.
func Group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: usage.Subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}
