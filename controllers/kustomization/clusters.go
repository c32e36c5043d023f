// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/watch"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/kubeconfig"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// Bounds of what is connected to beside this cluster.
const (
	maxClusters             = 2000 // in all
	maxClustersPerNamespace = 500
)

// remoteLimits bound what is kept of another cluster, and of all those that the
// Kustomizations of a namespace lead to.
func remoteLimits(together *watch.Quota) watch.Limits {
	return watch.Limits{Targets: 500, Objects: 20_000, Bytes: 64 << 20, Quota: together}
}

// Bounds of a namespace: informers, and about how many bytes they keep.
const (
	maxInformersPerNamespace = 2000
	maxKeptPerNamespace      = 256 << 20
)

// clusters are those that Kustomizations apply to: this one, and those of kubeConfigs. Those
// of a namespace that say the same share clients and watches.
type clusters struct {
	local       *apply.Engine
	kubeConfigs *kubeconfig.Reader
	profile     *decide.Profile
	clock       clock.PassiveClock
	log         logr.Logger

	mu     sync.Mutex
	remote map[string]*remoteCluster  // by the ID of the connection
	quotas map[string]*namespaceQuota // by namespace
}

// remoteCluster is one that a kubeConfig leads to.
type remoteCluster struct {
	*kubeconfig.Connection
	engine    *apply.Engine
	namespace string
	users     int // states; under the lock of the clusters
	stop      context.CancelFunc
}

// Start implements manager.Runnable: it ends all watches of other clusters when ctx ends.
func (c *clusters) Start(ctx context.Context) error {
	<-ctx.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, known := range c.remote {
		known.stop()
	}
	return nil
}

// acquire returns the cluster that a kubeConfig leads to, for one more user, and the version
// of what was read for it: another one than that of the connection may lead to the same.
func (c *clusters) acquire(ctx context.Context, k *kustomizev1.Kustomization) (to *remoteCluster, version string, err error) {
	config, err := c.kubeConfigs.Read(ctx, k.Namespace, k.Spec.KubeConfig)
	if err != nil {
		return nil, "", err
	}
	if known, err := c.use(config.ID, k.Namespace); known != nil || err != nil {
		return known, config.Version, err
	}
	made, err := c.connect(ctx, config, c.acquireQuota(k.Namespace)) // others do not wait for its keys and certificates to be read
	if err != nil {
		c.releaseQuota(k.Namespace)
		return nil, "", err
	}
	known, err := c.add(made, k.Namespace)
	if known != made {
		made.stop()
		made.Close()
		c.releaseQuota(k.Namespace)
	}
	return known, config.Version, err
}

// use returns a cluster that is connected to already, for one more user, or nil. The error
// is that there is no room for one.
func (c *clusters) use(id, namespace string) (*remoteCluster, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.remote[id]; known != nil {
		known.users++
		return known, nil
	}
	return nil, c.full(namespace)
}

// add returns a cluster for one more user: the one that was made, unless somebody else was
// first.
func (c *clusters) add(made *remoteCluster, namespace string) (*remoteCluster, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.remote[made.ID]; known != nil {
		known.users++
		return known, nil
	}
	if err := c.full(namespace); err != nil {
		return nil, err
	}
	made.namespace, made.users = namespace, 1
	if c.remote == nil {
		c.remote = map[string]*remoteCluster{}
	}
	c.remote[made.ID] = made
	return made, nil
}

// full is an error when there is no room for another cluster. The lock is held.
func (c *clusters) full(namespace string) error {
	of := 0
	for _, known := range c.remote {
		if known.namespace == namespace {
			of++
		}
	}
	if of >= maxClustersPerNamespace || len(c.remote) >= maxClusters {
		return fmt.Errorf("too many clusters: there are %d, of which the Kustomizations of namespace %s have %d; "+
			"at most %d and %d are connected to",
			len(c.remote), namespace, of, maxClusters, maxClustersPerNamespace)
	}
	return nil
}

// namespaceQuota bounds the informers of all clusters of a namespace together, of which there are so many.
type namespaceQuota struct {
	watch.Quota
	clusters int
}

// acquireQuota returns the quota of a namespace, for one more cluster.
func (c *clusters) acquireQuota(namespace string) *watch.Quota {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.quotas == nil {
		c.quotas = map[string]*namespaceQuota{}
	}
	of := c.quotas[namespace]
	if of == nil {
		of = &namespaceQuota{Quota: watch.Quota{Targets: maxInformersPerNamespace, Bytes: maxKeptPerNamespace}}
		c.quotas[namespace] = of
	}
	of.clusters++
	return &of.Quota
}

// releaseQuota gives the quota of a namespace back, which the last cluster ends.
func (c *clusters) releaseQuota(namespace string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.releaseQuotaLocked(namespace)
}

// releaseQuotaLocked is releaseQuota. The lock is held.
func (c *clusters) releaseQuotaLocked(namespace string) {
	of := c.quotas[namespace]
	if of.clusters--; of.clusters == 0 {
		delete(c.quotas, namespace)
	}
}

func (c *clusters) connect(ctx context.Context, config *kubeconfig.Config, together *watch.Quota) (*remoteCluster, error) {
	to, err := config.Connect(c.clock)
	if err != nil {
		return nil, err
	}
	informers, err := watch.New(to.REST, to.Mapper, c.log.WithValues("kubeConfig", config.Name), c.profile)
	if err != nil {
		return nil, err
	}
	informers.Limit(remoteLimits(together))
	running, stop := context.WithCancel(context.WithoutCancel(ctx)) // it outlives the reconcile that needed it first
	go background.Run(running, func() { _ = informers.Start(running) })
	clients := apply.NewClients(to.REST, to.Mapper, c.profile.FieldManager)
	return &remoteCluster{Connection: to, engine: apply.NewEngine(c.profile, clients, informers, c.clock), stop: stop}, nil
}

// release gives a cluster back, whose watches end with its last user.
func (c *clusters) release(of *remoteCluster) {
	if of == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if of.users--; of.users == 0 {
		delete(c.remote, of.ID)
		c.releaseQuotaLocked(of.namespace)
		of.stop()
		of.Close()
	}
}

// targetCluster is the cluster that a Kustomization applies to: what was read for it, and in which version.
type targetCluster struct {
	ref    meta.KubeConfigReference
	inputs inputs
	*remoteCluster
}

// ensureCluster makes the state of k one of the cluster that k applies to. What it knew of another
// one is dropped: the objects there stay.
func (r *Reconciler) ensureCluster(ctx context.Context, s *state, k *kustomizev1.Kustomization) error {
	if k.Spec.KubeConfig == nil {
		if s.cluster.remoteCluster != nil {
			r.states.move(ctx, keyOf(k), s, targetCluster{})
		}
		return nil
	}
	ref := *k.Spec.KubeConfig
	if s.cluster.remoteCluster != nil && sameRef(s.cluster.ref, ref) && !s.cluster.Moved() &&
		!changedInputs(ctx, r.live, k.Namespace, s.cluster.inputs) {
		return nil
	}
	to, version, err := r.states.clusters.acquire(ctx, k)
	if err != nil {
		return kubeConfigFailure(k, err)
	}
	in, _ := kubeConfigInput(k)
	at := targetCluster{ref: ref, inputs: inputs{in: version}, remoteCluster: to}
	if to == s.cluster.remoteCluster { // in another version that says the same
		r.states.clusters.release(to)
		s.cluster = at
		return nil
	}
	r.states.move(ctx, keyOf(k), s, at)
	return nil
}

// sameRef reports whether two references name the same.
func sameRef(a, b meta.KubeConfigReference) bool { return placeOf(&a) == placeOf(&b) }

// placeOf is where a kubeConfig is, in its namespace.
func placeOf(ref *meta.KubeConfigReference) string {
	switch {
	case ref.SecretRef != nil:
		return strings.Join([]string{"Secret", ref.SecretRef.Name, ref.SecretRef.Key}, "/")
	case ref.ConfigMapRef != nil:
		return "ConfigMap/" + ref.ConfigMapRef.Name
	}
	return ""
}

// kubeConfigInput is what the kubeConfig of k refers to; it is watched.
func kubeConfigInput(k *kustomizev1.Kustomization) (input, bool) {
	switch ref := k.Spec.KubeConfig; {
	case ref == nil:
	case ref.SecretRef != nil:
		return input{"Secret", ref.SecretRef.Name}, true
	case ref.ConfigMapRef != nil:
		return input{"ConfigMap", ref.ConfigMapRef.Name}, true
	}
	return input{}, false
}

// hostOf names the cluster that the runs of k wait for, whose hanging holds up no other.
func hostOf(k *kustomizev1.Kustomization) string {
	return "kubeConfig " + k.Namespace + "/" + placeOf(k.Spec.KubeConfig)
}

// kubeConfigFailure says when a kubeConfig that cannot be used is read again. What it refers
// to is watched.
func kubeConfigFailure(k *kustomizev1.Kustomization, err error) error {
	err = fmt.Errorf("spec.kubeConfig: %w", err)
	switch {
	case errors.Is(err, kubeconfig.ErrGate):
		return reconciler.WithReason(meta.FeatureGateDisabledReason, reconciler.Waiting(err, k.GetRetryInterval()))
	case errors.Is(err, kubeconfig.ErrInvalid):
		return reconciler.WithReason(meta.ReconciliationFailedReason, reconciler.Waiting(err, k.GetRetryInterval()))
	}
	return retrySoon(k, reconciler.WithReason(meta.ReconciliationFailedReason, err))
}

// reach is an error when the cluster that k applies to does not answer: what its watches saw
// last says nothing of now.
func (r *Reconciler) reach(ctx context.Context, s *state, k *kustomizev1.Kustomization) error {
	if s.cluster.remoteCluster == nil {
		return nil
	}
	if err := s.cluster.Check(ctx); err != nil {
		return retrySoon(k, reconciler.WithReason(meta.ReconciliationFailedReason, err))
	}
	return nil
}
