// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/controllers/kustomization"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/scan"
)

// groups are the sets of kinds that --controllers names.
var groups = []string{"image", "source", "kustomize", "canary", "promotion", "notification"}

// logLevels are those that the log has messages of.
var logLevels = []string{"debug", "info", "error"}

// flags are the settings of `sluice controller`.
type flags struct {
	// version is that of the program.
	version                           string
	kubeconfig                        string
	controllers                       []string
	concurrent                        int
	qps                               float32
	burst                             int
	logLevel, logEncoding, eventsAddr string
	minRetryDelay, maxRetryDelay      time.Duration

	metricsAddr, healthAddr      string
	resourceInfo                 bool
	pprofAddr                    string
	leaderElect                  bool
	lease                        leaseFlags
	namespace                    string
	watch                        watchFlags
	noCrossNamespace             bool
	allowCrossNamespaceWrites    bool
	defaultServiceAccount        string
	overrideManagers             []string
	earlyKinds                   string
	storagePath                  string
	storageLimit                 storageLimit
	storageAddr, storageAdvAddr  string
	canary                       canaryFlags
	scanMaxTags                  int
	identity                     identityFlags
	outbound                     outboundFlags
	builds                       buildFlags
	flux                         fluxFlags
	sshKeyExchanges, sshHostKeys []string
	receiverAddr                 string
	eventsListenAddr             string
	page                         pageFlags
}

func (f *flags) register(set *pflag.FlagSet) {
	set.StringVar(&f.kubeconfig, "kubeconfig", "", "path of a kubeconfig; default: KUBECONFIG, or the pod's service account")
	set.StringSliceVar(&f.controllers, "controllers", groups, "which groups of kinds to serve: "+strings.Join(groups, ", "))
	set.IntVar(&f.concurrent, "concurrent", 10, "objects of one kind reconciled at once")
	set.Float32Var(&f.qps, "kube-api-qps", 500, "requests per second to the API server")
	set.IntVar(&f.burst, "kube-api-burst", 1000, "burst of requests to the API server")
	set.StringVar(&f.logLevel, "log-level", "info", strings.Join(logLevels, ", "))
	set.StringVar(&f.logEncoding, "log-encoding", "json", "json, which flux logs reads, or console")
	set.StringVar(&f.eventsAddr, "events-addr", "",
		"URL of the events endpoint of Flux's notification-controller, which then serves Alerts and Providers; "+
			"default: the group notification serves them")
	set.DurationVar(&f.minRetryDelay, "min-retry-delay", reconciler.MinRetryDelay, "delay before the first retry of an object that failed")
	set.DurationVar(&f.maxRetryDelay, "max-retry-delay", reconciler.MaxRetryDelay, "longest delay between retries")
	set.StringVar(&f.metricsAddr, "metrics-addr", ":8080", "where Prometheus metrics are served; 0 disables them")
	set.BoolVar(&f.resourceInfo, "resource-info", false, "show the state of each object in the metric gotk_resource_info, "+
		"which Flux's dashboards read; where kube-state-metrics shows it, it would be counted twice")
	set.StringVar(&f.pprofAddr, "pprof-addr", "0", "loopback address where profiles are served under /debug/pprof/, "+
		"such as 127.0.0.1:6060, to be reached with kubectl port-forward; 0 disables them")
	set.StringVar(&f.healthAddr, "health-addr", ":9440", "where /healthz and /readyz are served; 0 disables them")
	set.BoolVar(&f.leaderElect, "enable-leader-election", false, "run the controllers only while holding the lease")
	f.lease.register(set)
	set.StringVar(&f.namespace, "namespace", env("RUNTIME_NAMESPACE", "flux-system"), "namespace of the lease")
	f.watch.register(set)
	set.BoolVar(&f.noCrossNamespace, "no-cross-namespace-refs", false, "refuse references to objects and hosts of other namespaces")
	set.BoolVar(&f.allowCrossNamespaceWrites, "allow-cross-namespace-writes", false, "let every ImageUpdateAutomation "+
		"write with the credentials of any GitRepository, as Flux does, without the annotation sluice.dev/write-from")
	set.StringVar(&f.defaultServiceAccount, "default-service-account", "", "applies for Kustomizations that "+
		"name none, and with the feature ObjectLevelWorkloadIdentity stands for objects in clouds; default: the controller itself")
	set.StringSliceVar(&f.overrideManagers, "override-manager", nil, "field managers, by the beginning of their names, whose "+
		"additions to objects of Kustomizations are undone like those of kubectl, such as k9s")
	set.StringVar(&f.earlyKinds, "custom-apply-stage-kinds", "", "comma-separated kinds, such as rbac.authorization.k8s.io/Role, whose "+
		"objects Kustomizations apply after definitions and classes and before all others")
	set.StringVar(&f.storagePath, "storage-path", "/data",
		"folder of Git mirrors, artifacts and tags, of this process alone; a cache, rebuilt when lost")
	f.storageLimit.register(set)
	set.StringVar(&f.storageAddr, "storage-addr", ":9090", "where artifacts are served")
	set.StringVar(&f.storageAdvAddr, "storage-adv-addr", "", "host[:port] that artifact URLs name; default: the address listened on")
	set.IntVar(&f.scanMaxTags, "scan-max-tags", scan.DefaultMaxTags,
		"most tags that one scan of an ImageRepository lists, unless its spec.maxTags says otherwise")
	f.identity.register(set)
	f.outbound.register(set)
	f.builds.register(set)
	f.flux.register(set)
	set.StringSliceVar(&f.sshKeyExchanges, "ssh-kex-algos", nil,
		"key exchange algorithms to offer to SSH servers; default: those considered safe")
	set.StringSliceVar(&f.sshHostKeys, "ssh-hostkey-algos", nil,
		"host key algorithms to accept of SSH servers; default: those that known_hosts has keys for")
	set.StringVar(&f.receiverAddr, "receiverAddr", ":9292", "where webhooks are taken in")
	set.StringVar(&f.eventsListenAddr, "events-listen-addr", "",
		"where events of Flux's controllers and of others are taken in for Alerts, such as :9293; default: nowhere")
	f.canary.register(set)
	f.page.register(set)
}

func env(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

// validate refuses what would only fail later, in a worse place.
func (f *flags) validate() error {
	for _, name := range f.controllers {
		if !slices.Contains(groups, name) {
			return fmt.Errorf("--controllers: unknown group %q; known: %s", name, strings.Join(groups, ", "))
		}
	}
	if len(f.controllers) == 0 {
		return fmt.Errorf("--controllers: name at least one of %s", strings.Join(groups, ", "))
	}
	if f.concurrent < 1 {
		return fmt.Errorf("--concurrent: must be at least 1, is %d", f.concurrent)
	}
	if f.scanMaxTags < 1 {
		return fmt.Errorf("--scan-max-tags: must be at least 1, is %d", f.scanMaxTags)
	}
	if _, err := logEncoder(f.logEncoding); err != nil {
		return err
	}
	if !slices.Contains(logLevels, f.logLevel) {
		return fmt.Errorf("--log-level: unknown level %q; known: %s", f.logLevel, strings.Join(logLevels, ", "))
	}
	if name := f.defaultServiceAccount; name != "" && len(validation.IsDNS1123Subdomain(name)) > 0 {
		return fmt.Errorf("--default-service-account: %q is not the name of a service account, such as deployer; "+
			"it is looked for in the namespace of each object", name)
	}
	if err := kustomization.CheckOverruled(f.overrideManagers); err != nil {
		return fmt.Errorf("--override-manager: %w", err)
	}
	if _, err := parseGroupKinds(f.earlyKinds); err != nil {
		return fmt.Errorf("--custom-apply-stage-kinds: %w", err)
	}
	if len(validation.IsDNS1123Label(f.namespace)) > 0 {
		return fmt.Errorf("--namespace: %q is not the name of a namespace", f.namespace)
	}
	if f.minRetryDelay <= 0 || f.maxRetryDelay < f.minRetryDelay {
		return fmt.Errorf("--min-retry-delay must be positive and at most --max-retry-delay, they are %s and %s",
			f.minRetryDelay, f.maxRetryDelay)
	}
	return errors.Join(validateProfiles(f.pprofAddr), f.lease.validate(), f.watch.validate(),
		f.identity.validate(), f.outbound.validate(), f.storageLimit.validate(), f.builds.validate(), f.flux.validate(),
		f.canary.validate(), f.page.validate())
}

// options are those of all controllers, which tell their events to a sink.
func (f *flags) options(events *reconciler.EventSink) reconciler.Options {
	configs, _ := labels.Parse(f.watch.configs) // valid
	if f.identity.enabled(disableConfigWatchers) {
		configs = labels.Nothing()
	}
	return reconciler.Options{
		Concurrent: f.concurrent, Clock: clock.RealClock{}, Recorder: events,
		MinRetryDelay: f.minRetryDelay, MaxRetryDelay: f.maxRetryDelay, Configs: configs,
	}
}

// serves reports whether --controllers names the group.
func (f *flags) serves(group string) bool { return slices.Contains(f.controllers, group) }
