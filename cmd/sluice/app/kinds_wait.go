// SPDX-License-Identifier: Apache-2.0

package app

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// needed are the kinds without which a group cannot run.
var needed = map[string][]schema.GroupVersionKind{
	"image": {
		imagev1.GroupVersion.WithKind("ImageRepository"), imagev1.GroupVersion.WithKind("ImagePolicy"),
		imagev1.GroupVersion.WithKind("ImageUpdateAutomation"), sourcev1.GroupVersion.WithKind(sourcev1.GitRepositoryKind),
	},
	"source": {
		sourcev1.GroupVersion.WithKind(sourcev1.GitRepositoryKind), sourcev1.GroupVersion.WithKind(sourcev1.OCIRepositoryKind),
		sourcev1.GroupVersion.WithKind(sourcev1.BucketKind), sourcev1.GroupVersion.WithKind(sourcev1.ExternalArtifactKind),
		generatorv1.GroupVersion.WithKind(generatorv1.ArtifactGeneratorKind),
	},
	"kustomize": {
		kustomizev1.GroupVersion.WithKind(kustomizev1.KustomizationKind),
		sourcev1.GroupVersion.WithKind(sourcev1.GitRepositoryKind), sourcev1.GroupVersion.WithKind(sourcev1.OCIRepositoryKind),
		sourcev1.GroupVersion.WithKind(sourcev1.BucketKind), sourcev1.GroupVersion.WithKind(sourcev1.ExternalArtifactKind),
	},
	"canary": {
		flaggerv1.GroupVersion.WithKind("Canary"), flaggerv1.GroupVersion.WithKind("MetricTemplate"),
		flaggerv1.GroupVersion.WithKind("AlertProvider"),
	},
	"promotion": {
		sluicev1.GroupVersion.WithKind(sluicev1.PipelineKind), sluicev1.GroupVersion.WithKind(sluicev1.FreezeKind),
		imagev1.GroupVersion.WithKind("ImagePolicy"), sourcev1.GroupVersion.WithKind(sourcev1.GitRepositoryKind),
	},
	"notification": {
		notificationv1.GroupVersion.WithKind(notificationv1.ReceiverKind),
		v1beta3.GroupVersion.WithKind(v1beta3.ProviderKind), v1beta3.GroupVersion.WithKind(v1beta3.AlertKind),
	},
}

const (
	// kindsPeriod is the time between two looks at the API server.
	kindsPeriod = 500 * time.Millisecond
	// logPeriod is how often the log repeats what is waited for.
	logPeriod = 30 * time.Second
)

// kindsWait waits until the API server serves the kinds of the groups: CRDs that
// were applied a moment ago are not served at once, and an installation may apply
// them last. Meanwhile the process is alive, and not ready for the reason that the
// probe and the log tell.
type kindsWait struct {
	client discovery.DiscoveryInterface
	clock  clock.WithTicker
	log    logr.Logger
	// health is where /healthz and /readyz are served, as in --health-addr.
	health string
}

func newKindsWait(config *rest.Config, f *flags, c clock.WithTicker, log logr.Logger) (*kindsWait, error) {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	return &kindsWait{client: client, clock: c, log: log, health: f.healthAddr}, nil
}

// until returns when all kinds of the groups are served, or with the context's error.
func (w *kindsWait) until(ctx context.Context, groups []string) error {
	missing, err := w.missing(groups)
	if err != nil && !isPassing(err) { // nobody is there, or does not let this process in
		return err
	}
	if len(missing) == 0 {
		w.log.Info("the API server serves all kinds")
		return nil
	}
	var waitsFor atomic.Value // []string
	waitsFor.Store(missing)
	stop, err := w.serve(&waitsFor)
	if err != nil {
		return err
	}
	defer stop()
	w.logMissing(missing)
	logged := w.clock.Now()
	ticker := w.clock.NewTicker(kindsPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C():
		}
		if missing, _ = w.missing(groups); len(missing) == 0 { // it answered before, and will again
			w.log.Info("the API server serves all kinds")
			return nil
		}
		waitsFor.Store(missing)
		if w.clock.Since(logged) >= logPeriod {
			w.logMissing(missing)
			logged = w.clock.Now()
		}
	}
}

// isPassing reports whether the API server answered that it cannot answer now: it is
// starting, or has too much to do.
func isPassing(err error) bool {
	return apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) || apierrors.IsInternalError(err) ||
		apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsUnexpectedServerError(err)
}

func (w *kindsWait) logMissing(missing []string) {
	w.log.Info("waiting for kinds that the API server does not serve: apply their CRDs (config/crd)", "kinds", missing)
}

// missing are the kinds of the groups that are not served yet, and what is known of why.
// One that the API server cannot be asked about is among them; the error is the first.
func (w *kindsWait) missing(groups []string) (found []string, first error) {
	seen := map[schema.GroupVersionKind]bool{}
	for _, group := range groups {
		for _, kind := range needed[group] {
			if seen[kind] {
				continue
			}
			seen[kind] = true
			switch served, err := w.serves(kind); {
			case err != nil:
				first = cmp.Or(first, err)
				found = append(found, fmt.Sprintf("%s (%v)", name(kind), err))
			case !served:
				found = append(found, name(kind)+w.otherVersions(kind.Group))
			}
		}
	}
	return found, first
}

func name(kind schema.GroupVersionKind) string { return kind.Kind + "." + kind.GroupVersion().String() }

// otherVersions says which versions of a group the API server serves in place of the one
// that it lacks, as after an update of Flux that left its CRDs as they were.
func (w *kindsWait) otherVersions(group string) string {
	groups, err := w.client.ServerGroups()
	if err != nil {
		return ""
	}
	for _, served := range groups.Groups {
		if served.Name != group {
			continue
		}
		var versions []string
		for _, version := range served.Versions {
			versions = append(versions, version.Version)
		}
		return fmt.Sprintf(" (the API server has %s of the group)", strings.Join(versions, ", "))
	}
	return ""
}

func (w *kindsWait) serves(kind schema.GroupVersionKind) (bool, error) {
	list, err := w.client.ServerResourcesForGroupVersion(kind.GroupVersion().String())
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("asking the API server for %s: %w", kind.GroupVersion(), err)
	}
	for _, resource := range list.APIResources {
		if resource.Kind == kind.Kind {
			return true, nil
		}
	}
	return false, nil
}

// serve answers probes while there is no manager that does.
func (w *kindsWait) serve(waitsFor *atomic.Value) (stop func(), err error) {
	if w.health == "0" || w.health == "" {
		return func() {}, nil
	}
	listener, err := net.Listen("tcp", w.health)
	if err != nil {
		return nil, fmt.Errorf("--health-addr: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/readyz", func(rw http.ResponseWriter, _ *http.Request) {
		missing, _ := waitsFor.Load().([]string)
		http.Error(rw, "waiting for "+strings.Join(missing, ", "), http.StatusServiceUnavailable)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	go func() { _ = server.Serve(listener) }()
	return func() { _ = server.Close() }, nil
}
