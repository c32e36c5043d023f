// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"github.com/fluxcd/pkg/cache"
	"github.com/opencontainers/go-digest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sluice-cd/sluice/apply/decrypt"
	"github.com/sluice-cd/sluice/apply/remote"
	"github.com/sluice-cd/sluice/controllers/artifactgenerator"
	"github.com/sluice-cd/sluice/controllers/bucket"
	"github.com/sluice-cd/sluice/controllers/gitrepository"
	"github.com/sluice-cd/sluice/controllers/imagepolicy"
	"github.com/sluice-cd/sluice/controllers/imagerepository"
	"github.com/sluice-cd/sluice/controllers/imageupdateautomation"
	"github.com/sluice-cd/sluice/controllers/kustomization"
	"github.com/sluice-cd/sluice/controllers/ocirepository"
	"github.com/sluice-cd/sluice/controllers/receiver"
	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/disk"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/git/access"
	"github.com/sluice-cd/sluice/internal/git/credential"
	"github.com/sluice-cd/sluice/internal/kubeconfig"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/signature"
	"github.com/sluice-cd/sluice/internal/wake"
	"github.com/sluice-cd/sluice/notify"
	"github.com/sluice-cd/sluice/notify/outbox"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/scan"
	"github.com/sluice-cd/sluice/source"
	"github.com/sluice-cd/sluice/writeback"
)

// wiring gives every controller what it needs. Mirrors and the artifact
// store are shared, so that a pushed commit is fetched and applied at once; a
// group that runs elsewhere is found through the API instead.
type wiring struct {
	mgr     ctrl.Manager
	flags   *flags
	clock   clock.WithTicker
	options reconciler.Options
	events  *reconciler.EventSink
	// guard is for every connection to where an object points, and memory for what
	// is read from there.
	guard  *outbound.Guard
	memory *budget.Budget

	space   *disk.Space
	mirrors *git.Mirrors
	writer  *writeback.Writer
	pushed  wake.Source // GitRepositories
	tagged  wake.Source // tags, of OCIRepositories
	store   *source.Store
	tokens  *cache.TokenCache
	// registry is made by [wiring.registries], scanner by [wiring.tagScanner], and
	// publicGood by [wiring.sigstore].
	registry   *registry.Client
	scanner    *scan.Scanner
	publicGood *signature.PublicGood
	// commands of kubeconfigs are run by those of [wiring.kubeConfigs], nil if they may not be.
	commands *kubeconfig.Commands
	// clients of forges are made by [wiring.forges].
	clients *forge.Clients
	// messages is made by [wiring.outbox].
	messages *outbox.Outbox
}

// mirrorsIn are mirrors in a folder of the storage, of which all have the same bounds together.
func mirrorsIn(w *wiring, folder string) *git.Mirrors {
	mirrors := git.NewMirrors(filepath.Join(w.flags.storagePath, folder), w.clock)
	mirrors.Guard, mirrors.Memory, mirrors.Space = w.guard, w.memory, w.space
	mirrors.SSHKeyExchanges, mirrors.SSHHostKeys = w.flags.sshKeyExchanges, w.flags.sshHostKeys
	return mirrors
}

// setupAll sets up the groups that the flags name. Ctx is that of the process.
func (w *wiring) setupAll(ctx context.Context) error {
	var err error
	if w.tokens, err = w.flags.identity.cache("gotk_token_"); err != nil {
		return err
	}
	if w.space = w.flags.storageLimit.space(); w.space != nil {
		if err := metrics.Registry.Register(w.space.Collector()); err != nil {
			return err
		}
	}
	w.mirrors = mirrorsIn(w, "mirrors")
	if err := metrics.Registry.Register(w.mirrors); err != nil {
		return err
	}
	w.writer = writeback.NewWriter(w.mirrors, w.clock).WithMemory(w.memory)
	for _, group := range []struct {
		name  string
		setup func(context.Context) error
	}{
		{"image", w.image}, {"source", w.source}, {"kustomize", w.kustomize},
		{"canary", func(context.Context) error { return w.canary() }}, {"promotion", w.promotion}, {"notification", w.notification},
	} {
		if !w.flags.serves(group.name) {
			continue
		}
		if err := group.setup(ctx); err != nil {
			return fmt.Errorf("setting up group %s: %w", group.name, err)
		}
	}
	if err := w.resourceInfo(); err != nil {
		return err
	}
	return w.page()
}

func (w *wiring) image(ctx context.Context) error {
	client := w.mgr.GetClient()
	registries, err := w.registries()
	if err != nil {
		return err
	}
	scanner, err := w.tagScanner()
	if err != nil {
		return err
	}
	secrets := w.mgr.GetAPIReader() // Secrets and ServiceAccounts are read one at a time
	repositories := &imagerepository.Reconciler{Secrets: secrets, Registry: registries, Scanner: scanner, Clock: w.clock}
	policies := &imagepolicy.Reconciler{
		Client: client, Secrets: secrets, Registry: registries, Store: scanner.Store(), Clock: w.clock,
		Guard:                w.guard,
		PublicGood:           w.sigstore(),
		NoCrossNamespaceRefs: w.flags.noCrossNamespace,
	}
	forges, err := w.forges()
	if err != nil {
		return err
	}
	automations := &imageupdateautomation.Reconciler{
		Client: client, Writer: w.writer, Clock: w.clock, Forges: forges,
		ServesSources: w.flags.serves("source"), Sources: &w.pushed,
		Access: w.access(),
	}
	return errors.Join(
		repositories.SetupWithManager(w.mgr, w.options),
		policies.SetupWithManager(ctx, w.mgr, w.options),
		automations.SetupWithManager(ctx, w.mgr, w.options),
	)
}

// registries is the client that all controllers ask registries with, so that they share
// limits.
func (w *wiring) registries() (*registry.Client, error) {
	if w.registry != nil {
		return w.registry, nil
	}
	w.registry = registry.NewClient(w.clock,
		registry.WithCloudIdentity(registry.CloudIdentity{Client: w.mgr.GetClient(), Tokens: w.tokens}), registry.WithGuard(w.guard),
		registry.WithTagged(func(tag string) { w.tagged.Wake(ocirepository.TagKey(tag)) }))
	return w.registry, metrics.Registry.Register(w.registry)
}

// tagScanner lists tags for all controllers, so that they share lists.
func (w *wiring) tagScanner() (*scan.Scanner, error) {
	if w.scanner != nil {
		return w.scanner, nil
	}
	registries, err := w.registries()
	if err != nil {
		return nil, err
	}
	tags, err := w.tags()
	if err != nil {
		return nil, err
	}
	lister := scan.NewClient(registries, w.clock, scan.WithMaxTags(w.flags.scanMaxTags), scan.WithMemory(w.memory))
	w.scanner = scan.NewScanner(lister, tags)
	return w.scanner, metrics.Registry.Register(lister)
}

// sigstore is the root of the public Sigstore, which all controllers share.
func (w *wiring) sigstore() *signature.PublicGood {
	if w.publicGood == nil {
		w.publicGood = signature.NewPublicGood(filepath.Join(w.flags.storagePath, "sigstore"), w.clock)
	}
	return w.publicGood
}

// access says which GitRepositories may be written to.
func (w *wiring) access() access.Access {
	return access.Access{
		Client: w.mgr.GetClient(), Credentials: w.credentials(),
		NoCrossNamespaceRefs: w.flags.noCrossNamespace, AllowCrossNamespaceWrites: w.flags.allowCrossNamespaceWrites,
	}
}

// credentials are what Git needs of the identities of clouds.
func (w *wiring) credentials() credential.Options {
	return credential.Options{Client: w.mgr.GetClient(), Tokens: w.tokens, Guard: w.guard, Clock: w.clock}
}

// tags opens the store of tags, which survives a restart where the folder does.
func (w *wiring) tags() (*scan.Store, error) {
	logger := w.mgr.GetLogger().WithName("scan")
	tags := scan.NewStore(scan.WithClock(w.clock), scan.WithTagMemory(w.memory.NamespaceLimit()),
		scan.InDir(filepath.Join(w.flags.storagePath, "tags"), func(err error) {
			logger.Error(err, "tags are not kept for the next start")
		}))
	return tags, errors.Join(metrics.Registry.Register(tags), w.mgr.Add(tags))
}

func (w *wiring) source(ctx context.Context) error {
	listener, err := net.Listen("tcp", w.flags.storageAddr)
	if err != nil {
		return fmt.Errorf("--storage-addr: %w", err)
	}
	address := w.flags.storageAdvAddr
	if address == "" {
		address = listener.Addr().String()
	}
	w.store = source.NewStore(filepath.Join(w.flags.storagePath, "artifacts"), address, w.clock)
	w.store.Space, w.store.Retention, w.store.Digest = w.space, w.flags.flux.retention, digest.Algorithm(w.flags.flux.digest)
	if err := w.mgr.Add(&httpServer{listener: listener, handler: w.store}); err != nil {
		return err
	}
	registries, err := w.registries()
	if err != nil {
		return err
	}
	scanner, err := w.tagScanner()
	if err != nil {
		return err
	}
	publisher := source.Publisher{Store: w.store, Memory: w.memory, Jitter: w.flags.flux.part()}
	repositories := &gitrepository.Reconciler{
		Mirrors: w.mirrors, Publisher: publisher, Opener: w.opener(), Pushed: &w.pushed, Credentials: w.credentials(),
	}
	artifacts := &ocirepository.Reconciler{
		Client: w.mgr.GetClient(), Secrets: w.mgr.GetAPIReader(), Clock: w.clock, Registry: registries, Scanner: scanner,
		Publisher: publisher, PublicGood: w.sigstore(), Guard: w.guard, Tagged: &w.tagged,
	}
	buckets := &bucket.Reconciler{
		Client: w.mgr.GetClient(), Secrets: w.mgr.GetAPIReader(), Clock: w.clock, Tokens: w.tokens, Publisher: publisher, Opener: w.opener(),
		Transports: outbound.NewTransports(w.guard), Guard: w.guard,
	}
	generators := &artifactgenerator.Reconciler{
		Client: w.mgr.GetClient(), Live: w.mgr.GetAPIReader(), Clock: w.clock, Publisher: publisher, Opener: w.opener(),
		NoCrossNamespaceRefs: w.flags.noCrossNamespace,
	}
	return errors.Join(
		repositories.SetupWithManager(ctx, w.mgr, w.options), artifacts.SetupWithManager(ctx, w.mgr, w.options),
		buckets.SetupWithManager(ctx, w.mgr, w.options), generators.SetupWithManager(ctx, w.mgr, w.options),
		w.mgr.Add(&artifactSweeper{store: w.store, objects: w.mgr.GetClient()}),
	)
}

// kubeConfigs reads those that objects name.
func (w *wiring) kubeConfigs() *kubeconfig.Reader {
	if w.flags.identity.insecureExec && w.commands == nil {
		w.commands = kubeconfig.NewCommands()
	}
	return &kubeconfig.Reader{
		Commands: w.commands,
		Objects:  w.mgr.GetAPIReader(), Guard: w.guard, InsecureTLS: w.flags.identity.insecureTLS, Client: w.mgr.GetClient(), Tokens: w.tokens,
		DefaultAccount: w.flags.identity.kubeConfigAccountOr(w.flags.defaultServiceAccount), Clock: w.clock,
	}
}

// opener reads artifacts of this process, and of others.
func (w *wiring) opener() *source.Opener {
	opener := source.NewOpener(w.store, source.WithGuard(w.guard))
	opener.Memory = w.memory
	return opener
}

func (w *wiring) kustomize(ctx context.Context) error {
	builder, err := w.builder()
	if err != nil {
		return err
	}
	earlyKinds, err := parseGroupKinds(w.flags.earlyKinds)
	if err != nil {
		return err
	}
	kustomizations := &kustomization.Reconciler{
		Opener: w.opener(), NoCrossNamespaceRefs: w.flags.noCrossNamespace,
		DefaultServiceAccount: w.flags.defaultServiceAccount, Builder: builder, OverriddenManagers: w.flags.overrideManagers,
		EarlyKinds:           earlyKinds,
		Jitter:               w.flags.flux.part(),
		AdditiveReadyExpr:    w.flags.identity.enabled(additiveReadyExpr),
		LenientSubstitutions: !w.flags.identity.enabled(strictSubstitutions),
		KubeConfigs:          w.kubeConfigs(),
		Store:                w.store,
		Decryption: kustomization.Decryption{
			Services: &decrypt.Services{
				Guard: w.guard, Client: w.mgr.GetClient(), Tokens: w.tokens,
				Reader: w.mgr.GetAPIReader(), Vaults: controllersOwn(w.flags.namespace, w.flags.identity.vaults),
			},
			AgeSecret:      controllersOwn(w.flags.namespace, w.flags.identity.ageSecret),
			DefaultAccount: w.flags.identity.decryptionAccount,
		},
	}
	if !w.flags.builds.noRemoteBases {
		kustomizations.Remote = &remote.Fetcher{Mirrors: w.mirrors, Guard: w.guard}
	}
	return kustomizations.SetupWithManager(ctx, w.mgr, w.options)
}

func (w *wiring) notification(ctx context.Context) error {
	receivers := &receiver.Reconciler{
		Secrets: w.mgr.GetAPIReader(), Resources: w.mgr.GetAPIReader(), NoCrossNamespaceRefs: w.flags.noCrossNamespace,
	}
	hooks, err := notify.New(notify.Options{
		Receivers: w.mgr.GetClient(), Reader: w.mgr.GetAPIReader(), Writer: w.mgr.GetClient(),
		Clock: w.clock, Logger: w.mgr.GetLogger().WithName("webhooks"), NoCrossNamespaceRefs: w.flags.noCrossNamespace,
		Guard: w.guard, Memory: w.memory, TooExpensive: receivers.TooExpensive,
	}, metrics.Registry)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", w.flags.receiverAddr)
	if err != nil {
		return fmt.Errorf("--receiverAddr: %w", err)
	}
	return errors.Join(
		w.mgr.Add(&httpServer{listener: listener, handler: hooks}), receivers.SetupWithManager(ctx, w.mgr, w.options), w.alerts(ctx),
	)
}
