// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	notificationv1beta3 "github.com/sluice-cd/sluice/api/notification/v1beta3"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/report"
)

// shown are the kinds that the page shows. Secrets are not among them, and never will be.
var shown = []client.Object{
	&imagev1.ImageRepository{}, &imagev1.ImagePolicy{}, &imagev1.ImageUpdateAutomation{},
	&sourcev1.GitRepository{}, &sourcev1.OCIRepository{}, &sourcev1.Bucket{}, &sourcev1.ExternalArtifact{},
	&generatorv1.ArtifactGenerator{},
	&kustomizev1.Kustomization{}, &flaggerv1.Canary{}, &flaggerv1.MetricTemplate{}, &flaggerv1.AlertProvider{},
	&sluicev1.Pipeline{}, &sluicev1.Freeze{},
	&notificationv1.Receiver{}, &notificationv1beta3.Provider{}, &notificationv1beta3.Alert{},
	&appsv1.Deployment{}, &appsv1.StatefulSet{}, &appsv1.DaemonSet{},
}

// Cluster is a cache of the objects that its kubeconfig may list. What of it a user sees is a [view].
type Cluster struct {
	client    client.Client
	scheme    *runtime.Scheme
	mapper    meta.RESTMapper
	cache     cache.Cache
	namespace string
	// User is what the API server calls the owner of the kubeconfig; empty is the controller.
	User string
	// Host is the address of the API server.
	Host string
	// Name is what people call the cluster; empty is its Host.
	Name string

	// ping asks the API server for something that it always has.
	ping  func(context.Context) error
	clock clock.PassiveClock
	// patience is how long the first list of a kind may fail before the page begins without it.
	patience time.Duration

	mu      sync.Mutex
	kinds   map[string]served       // that are cached, by kind
	pending map[string]pending      // that are watched, and not read yet
	failing map[string]watchFailure // of kinds that were not listed or watched lately
	missing []Missing
	reached time.Time // when the API server last answered
}

// pending is a kind whose objects have not been read yet.
type pending struct {
	served
	read func() bool
}

// listPatience is the time within which what fails while a cluster begins, or is busy, mostly passes.
const listPatience = 10 * time.Second

// pollInterval is how often it is looked whether kinds have been read.
const pollInterval = 50 * time.Millisecond

// served is a kind that is cached.
type served struct {
	schema.GroupVersionKind
	resource schema.GroupVersionResource
}

// NewCluster returns what a kubeconfig lets its user see, in one namespace or, if that is empty, in all.
func NewCluster(config *rest.Config, namespace, user string) (*Cluster, error) {
	scheme, err := kinds.Scheme()
	if err != nil {
		return nil, err
	}
	hc, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", config.Host, err)
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, hc)
	if err != nil {
		return nil, fmt.Errorf("asking %s for its kinds: %w", config.Host, err)
	}
	return newCluster(config, cache.Options{HTTPClient: hc, Scheme: scheme, Mapper: mapper}, namespace, user)
}

func newCluster(config *rest.Config, options cache.Options, namespace, user string) (*Cluster, error) {
	made := &Cluster{
		scheme: options.Scheme, mapper: options.Mapper, namespace: namespace, User: user, Host: config.Host, patience: listPatience,
		kinds: map[string]served{}, pending: map[string]pending{}, failing: map[string]watchFailure{}, clock: clock.RealClock{},
	}
	made.reached = made.clock.Now()
	options.DefaultTransform, options.DefaultWatchErrorHandler = trimmed, made.watchFailed
	if namespace != "" {
		options.DefaultNamespaces = map[string]cache.Config{namespace: {}}
	}
	var err error
	if made.cache, err = cache.New(config, options); err != nil {
		return nil, err
	}
	asks, err := discovery.NewDiscoveryClientForConfigAndClient(config, options.HTTPClient)
	if err != nil {
		return nil, err
	}
	made.ping = func(ctx context.Context) error { return asks.RESTClient().Get().AbsPath("/version").Do(ctx).Error() }
	made.client, err = client.New(config, client.Options{HTTPClient: options.HTTPClient, Scheme: options.Scheme, Mapper: options.Mapper})
	return made, err
}

// name is what people call the cluster.
func (c *Cluster) name() string { return cmp.Or(c.Name, c.Host) }

// trimmed leaves out what nothing here shows, and what is long.
func trimmed(object any) (any, error) {
	if o, ok := object.(client.Object); ok {
		o.SetManagedFields(nil)
	}
	return object, nil
}

// start fills the cache, tells of every change from then on, and returns when all is known. A
// kind that cannot be asked for is asked for again, unless again returns an error.
func (c *Cluster) start(
	ctx context.Context, changed func(report.ObjectReference), again func(context.Context, error) error,
) error {
	for _, object := range shown {
		for {
			err := c.watch(ctx, object, changed)
			if err == nil {
				break
			}
			if err := again(ctx, err); err != nil {
				return err
			}
		}
	}
	failed := make(chan error, 1)
	go func() { failed <- background.Try(ctx, func() error { return c.cache.Start(ctx) }) }()
	return c.waitForKinds(ctx, failed)
}

// waitForKinds returns when every kind has been read but those whose lists go on failing, which are missing until they do not.
func (c *Cluster) waitForKinds(ctx context.Context, failed <-chan error) error {
	patient, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(context.Context) (bool, error) {
		c.takeRead()
		c.mu.Lock()
		defer c.mu.Unlock()
		for kind := range c.pending {
			if patient.Err() == nil || c.failing[kind].last == nil {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return <-failed // the cache ends with ctx
	}
	return nil
}

// takeRead shows the kinds that have been read meanwhile, and returns their names. A kind that has not may block who lists it.
func (c *Cluster) takeRead() (taken []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for kind, is := range c.pending {
		if is.read() {
			c.kinds[kind] = is.served
			delete(c.pending, kind)
			delete(c.failing, kind)
			taken = append(taken, kind)
		}
	}
	return taken
}

// findMissing has kinds cached that were missing, once the cluster serves them, the user may list them, and that succeeds. A change of
// an object without a name tells of each.
func (c *Cluster) findMissing(ctx context.Context, changed func(report.ObjectReference)) {
	for _, object := range shown {
		gvk, err := apiutil.GVKForObject(object, c.scheme)
		if err != nil || !c.isMissing(gvk.Kind) {
			continue
		}
		if err := c.watch(ctx, object, changed); err != nil {
			break // it is tried again later
		}
	}
	patient, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	_ = wait.PollUntilContextCancel(patient, pollInterval, true, func(context.Context) (bool, error) {
		for _, kind := range c.takeRead() {
			changed(report.ObjectReference{Kind: kind})
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.pending) == 0, nil
	})
}

// isMissing reports whether a kind is not watched.
func (c *Cluster) isMissing(kind string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.missing, func(m Missing) bool { return m.Kind == kind })
}

// watch has a kind cached, or notes why not.
func (c *Cluster) watch(ctx context.Context, object client.Object, changed func(report.ObjectReference)) error {
	gvk, err := apiutil.GVKForObject(object, c.scheme)
	if err != nil {
		return err
	}
	mapping, err := c.client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	switch {
	case meta.IsNoMatchError(err):
		c.addMissing(gvk.Kind, fmt.Sprintf("the cluster does not serve %s", gvk.GroupVersion()))
		return nil
	case err != nil:
		return fmt.Errorf("asking for kind %s: %w", gvk.Kind, err)
	}
	allowed, err := c.mayWatch(ctx, mapping.Resource)
	if err != nil {
		return err
	}
	if !allowed {
		c.addMissing(gvk.Kind, c.refusal(mapping.Resource))
		return nil
	}
	informer, err := c.cache.GetInformer(ctx, object, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching kind %s: %w", gvk.Kind, err)
	}
	notify := func(o any) {
		if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
			o = gone.Obj
		}
		if object, ok := o.(client.Object); ok {
			c.heard(gvk.Kind)
			changed(report.ObjectReference{Kind: gvk.Kind, Namespace: object.GetNamespace(), Name: object.GetName()})
		}
	}
	c.mu.Lock()
	c.pending[gvk.Kind] = pending{served{gvk, mapping.Resource}, informer.HasSynced}
	c.missing = slices.DeleteFunc(c.missing, func(m Missing) bool { return m.Kind == gvk.Kind })
	c.mu.Unlock()
	_, err = informer.AddEventHandler(background.EventHandler(ctx, toolscache.ResourceEventHandlerFuncs{
		AddFunc: notify, UpdateFunc: func(_, o any) { notify(o) }, DeleteFunc: notify,
	}))
	return err
}

// mayWatch asks whether the user may list and watch a kind.
func (c *Cluster) mayWatch(ctx context.Context, of schema.GroupVersionResource) (bool, error) {
	for _, verb := range []string{"list", "watch"} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: c.namespace, Verb: verb, Group: of.Group, Version: of.Version, Resource: of.Resource,
			}}}
		if err := c.client.Create(ctx, review); err != nil {
			return false, fmt.Errorf("asking whether you may %s %s: %w", verb, of.Resource, err)
		}
		if !review.Status.Allowed {
			return false, nil
		}
	}
	return true, nil
}

func (c *Cluster) refusal(of schema.GroupVersionResource) string {
	if c.User == "" {
		return fmt.Sprintf("the service account of the controller may not list and watch %s", of.GroupResource())
	}
	if c.namespace == "" {
		return fmt.Sprintf("you may not list and watch %s in all namespaces: name one of yours with -n", of.GroupResource())
	}
	return fmt.Sprintf("you may not list and watch %s in namespace %s", of.GroupResource(), c.namespace)
}

func (c *Cluster) addMissing(kind, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.missing = slices.DeleteFunc(c.missing, func(m Missing) bool { return m.Kind == kind })
	c.missing = append(c.missing, Missing{kind, why})
}

// missingKinds returns what is missing. Who is not the owner of the kubeconfig may not know the objects that an error names.
func (c *Cluster) missingKinds() []Missing {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := append([]Missing{}, c.missing...)
	for _, kind := range slices.Sorted(maps.Keys(c.pending)) {
		why := "its objects are still being read"
		if err := c.failing[kind].last; err != nil {
			why = c.whyNotListed(c.pending[kind].served, err)
		}
		found = append(found, Missing{kind, why})
	}
	return found
}

// kindOf finds a kind that is cached by its name.
func (c *Cluster) kindOf(kind string) (served, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.kinds[kind]
	return found, ok
}

// cached are the kinds that are cached, by their names.
func (c *Cluster) cached() []served {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Values(c.kinds), func(a, b served) int { return strings.Compare(a.Kind, b.Kind) })
}

// list reads all objects of a kind from the cache, without copies: they must not be changed. A kind that is not cached
// has none.
func (c *Cluster) list(ctx context.Context, into client.ObjectList) (kind string, err error) {
	gvk, err := apiutil.GVKForObject(into, c.scheme)
	if err != nil {
		return "", err
	}
	kind = strings.TrimSuffix(gvk.Kind, "List")
	if _, cached := c.kindOf(kind); !cached {
		return kind, nil
	}
	return kind, c.cache.List(ctx, into, client.UnsafeDisableDeepCopy)
}

// listOf is an empty list of a kind.
func (c *Cluster) listOf(kind served) (client.ObjectList, error) {
	list, err := c.scheme.New(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if err != nil {
		return nil, err
	}
	objects, ok := list.(client.ObjectList)
	if !ok {
		return nil, fmt.Errorf("kind %s has no list", kind.Kind)
	}
	return objects, nil
}
