package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/sluice-cd/sluice/canary/workload"
	"github.com/sluice-cd/sluice/controllers/canary"
)

// rolloutFlags are the settings of canaries, by Flagger's names.
type rolloutFlags struct {
	meshProvider, metricsServer      string
	selectorLabels, labelPrefix      []string
	configTracking                   bool
	minInterval                      time.Duration
	ingressClass, ingressAnnotations string
}

func (f *rolloutFlags) register(set *pflag.FlagSet) {
	set.StringVar(&f.metricsServer, "metrics-server", "http://prometheus:9090", "Prometheus that canary analysis asks")
	set.StringVar(&f.meshProvider, "mesh-provider", "kubernetes", "router of canaries that name no provider")
	set.StringSliceVar(&f.selectorLabels, "selector-labels", []string{"app", "name", "app.kubernetes.io/name"}, "labels by which a canary's target may select its pods")
	set.StringSliceVar(&f.labelPrefix, "include-label-prefix", nil, "prefixes of labels and annotations that a canary's copies inherit; * is all")
	set.BoolVar(&f.configTracking, "enable-config-tracking", true, "make ConfigMaps and Secrets part of a canary's revision")
	set.DurationVar(&f.minInterval, "canary-min-interval", 10*time.Second, "shortest analysis interval; a shorter one is raised to it")
	set.StringVar(&f.ingressClass, "ingress-class", "", "class that route objects for ingress controllers are annotated with")
	set.StringVar(&f.ingressAnnotations, "ingress-annotations-prefix", "nginx.ingress.kubernetes.io", "prefix of the annotations by which NGINX is told of canaries")
}

func (f *rolloutFlags) validate() error {
	if f.minInterval <= 0 {
		return fmt.Errorf("--canary-min-interval: must be positive, is %s", f.minInterval)
	}
	return nil
}

func (w *wiring) canary() error {
	f := &w.flags.rollout
	canaries := &canary.Reconciler{
		Provider: f.meshProvider, MetricsServer: f.metricsServer, MinInterval: f.minInterval, Version: version, Clock: w.clock,
		Workload: workload.Options{
			SelectorLabels: f.selectorLabels, IncludeLabelPrefix: f.labelPrefix, IgnoreConfigs: !f.configTracking,
		},
		IngressClass: f.ingressClass, IngressAnnotations: f.ingressAnnotations,
	}
	return canaries.SetupWithManager(w.mgr, w.options)
}
