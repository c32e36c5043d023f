// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/workload"
	"github.com/sluice-cd/sluice/controllers/canary"
	"github.com/sluice-cd/sluice/notify/alert"
)

// canaryFlags are the settings of canaries, by Flagger's names.
type canaryFlags struct {
	meshProvider, metricsServer      string
	selectorLabels, labelPrefix      []string
	configTracking                   bool
	minInterval                      time.Duration
	ingressClass, ingressAnnotations string
	alerts                           alert.Options
	eventWebhook                     string
	meshKubeconfig                   string
}

func (f *canaryFlags) register(set *pflag.FlagSet) {
	set.StringVar(&f.metricsServer, "metrics-server", "http://prometheus:9090",
		"Prometheus that canary analysis and verify[].metrics of Pipelines ask")
	set.StringVar(&f.meshProvider, "mesh-provider", provider.Kubernetes, "router of canaries that name no provider")
	set.StringSliceVar(&f.selectorLabels, "selector-labels", []string{"app", "name", "app.kubernetes.io/name"},
		"labels by which a canary's target may select its pods")
	set.StringSliceVar(&f.labelPrefix, "include-label-prefix", nil,
		"prefixes of labels and annotations that a canary's copies inherit; * is all")
	set.BoolVar(&f.configTracking, "enable-config-tracking", true, "make ConfigMaps and Secrets part of a canary's revision")
	set.DurationVar(&f.minInterval, "canary-min-interval", 10*time.Second, "shortest analysis interval; a shorter one is raised to it")
	set.StringVar(&f.ingressClass, "ingress-class", "", "class that route objects for ingress controllers are annotated with")
	set.StringVar(&f.ingressAnnotations, "ingress-annotations-prefix", "nginx.ingress.kubernetes.io",
		"prefix of the annotations by which NGINX is told of canaries")
	set.StringVar(&f.meshKubeconfig, "kubeconfig-service-mesh", "",
		"kubeconfig of the cluster with the control plane of the service mesh, where routes are written; default: the cluster of the workloads")
	f.registerAlerts(set)
}

// registerAlerts adds the flags of the chats and webhooks that get the alerts of
// canaries without alerts of their own. Secrets are better given in the environment.
func (f *canaryFlags) registerAlerts(set *pflag.FlagSet) {
	a := &f.alerts
	set.StringVar(&a.ClusterName, "cluster-name", "", "name of the cluster in alerts and on the web page")
	set.StringVar(&a.Slack.URL, "slack-url", "", "Slack webhook for canaries without alerts of their own (SLACK_URL)")
	set.StringVar(&a.Slack.Token, "slack-token", "", "token of a Slack bot (SLACK_TOKEN)")
	set.StringVar(&a.Slack.Proxy, "slack-proxy-url", "", "proxy to Slack (SLACK_PROXY_URL)")
	set.StringVar(&a.Slack.User, "slack-user", "flagger", "name to write to Slack as")
	set.StringVar(&a.Slack.Channel, "slack-channel", "", "Slack channel to write to")
	set.StringVar(&a.Teams.URL, "msteams-url", "", "Microsoft Teams webhook for canaries without alerts of their own (MSTEAMS_URL)")
	set.StringVar(&a.Teams.Proxy, "msteams-proxy-url", "", "proxy to Microsoft Teams (MSTEAMS_PROXY_URL)")
	set.StringVar(&f.eventWebhook, "event-webhook", "",
		"webhook that is told the events of canaries without an event hook (EVENT_WEBHOOK_URL)")
}

// fromEnvironment overrides flags by the variables that Flagger reads. These are not the
// defaults of the flags, since --help would print them.
func (f *canaryFlags) fromEnvironment() {
	for name, setting := range map[string]*string{
		"SLACK_URL": &f.alerts.Slack.URL, "SLACK_TOKEN": &f.alerts.Slack.Token, "SLACK_PROXY_URL": &f.alerts.Slack.Proxy,
		"MSTEAMS_URL": &f.alerts.Teams.URL, "MSTEAMS_PROXY_URL": &f.alerts.Teams.Proxy, "EVENT_WEBHOOK_URL": &f.eventWebhook,
	} {
		*setting = env(name, *setting)
	}
}

func (f *canaryFlags) validate() error {
	if f.minInterval <= 0 {
		return fmt.Errorf("--canary-min-interval: must be positive, is %s", f.minInterval)
	}
	if known := provider.Nameable(); !slices.Contains(known, f.meshProvider) {
		return fmt.Errorf("--mesh-provider: unknown provider %q; known: %s", f.meshProvider, strings.Join(known, ", "))
	}
	return errors.Join(
		validateURL("--metrics-server", f.metricsServer, serverSchemes),
		validateURL("--event-webhook (EVENT_WEBHOOK_URL)", f.eventWebhook, serverSchemes),
		validateURL("--slack-url (SLACK_URL)", f.alerts.Slack.URL, serverSchemes),
		validateURL("--slack-proxy-url (SLACK_PROXY_URL)", f.alerts.Slack.Proxy, proxySchemes),
		validateURL("--msteams-url (MSTEAMS_URL)", f.alerts.Teams.URL, serverSchemes),
		validateURL("--msteams-proxy-url (MSTEAMS_PROXY_URL)", f.alerts.Teams.Proxy, proxySchemes))
}

// mesh is the cluster of --kubeconfig-service-mesh, nil if that is the manager's own.
func (w *wiring) mesh() (cluster.Cluster, error) {
	path := w.flags.canary.meshKubeconfig
	if path == "" {
		return nil, nil
	}
	config, err := w.flags.clientConfig(path)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig-service-mesh: %w", err)
	}
	if config.Host == w.mgr.GetConfig().Host {
		return nil, nil
	}
	var restricted cache.Options
	if err := w.flags.watch.restrict(&restricted, w.flags.namespace); err != nil {
		return nil, err
	}
	of, err := cluster.New(config, func(o *cluster.Options) {
		o.Scheme, o.Logger = w.mgr.GetScheme(), w.mgr.GetLogger().WithName("mesh")
		o.Cache = cache.Options{DefaultTransform: cache.TransformStripManagedFields(), DefaultNamespaces: restricted.DefaultNamespaces}
	})
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig-service-mesh: %w", err)
	}
	return of, nil
}

func (w *wiring) canary() error {
	f := &w.flags.canary
	mesh, err := w.mesh()
	if err != nil {
		return err
	}
	f.alerts.Outbox, err = w.outbox()
	if err != nil {
		return err
	}
	canaries := &canary.Reconciler{
		Provider: f.meshProvider, MetricsServer: f.metricsServer,
		MinInterval: f.minInterval, Version: w.flags.version, Clock: w.clock, Mesh: mesh,
		Workload: workload.Options{
			SelectorLabels: f.selectorLabels, IncludeLabelPrefix: f.labelPrefix, IgnoreConfigs: !f.configTracking,
		},
		IngressClass: f.ingressClass, IngressAnnotations: f.ingressAnnotations,
		Alerts: f.alerts, EventWebhook: f.eventWebhook, NoCrossNamespaceRefs: w.flags.noCrossNamespace, Guard: w.guard, Memory: w.memory,
	}
	return canaries.SetupWithManager(w.mgr, w.options)
}
