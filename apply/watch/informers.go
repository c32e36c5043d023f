// SPDX-License-Identifier: Apache-2.0

// Package watch knows the live state of applied objects without asking for it.
//
// There is one informer for each kind of applied object, filtered by the label
// that every applied object carries, and one for each single object beyond
// those whose health somebody waits for, or for all objects of a kind in a namespace
// where they are many. An informer keeps only what health and
// drift need ([decide.Observed]), starts when the first owner uses it, and stops with
// the last. An owner takes part by its [Subscription]:
//
//	Use(targets)    --> informers --> Observe(object): Fresh, Missing, Stale, Unknown
//	Await(objects)  --> the last one is healthy, or one failed --> Handler.HealthChanged
//	                    somebody changed or deleted an object  --> Handler.ObjectChanged
//
// There is no polling, and no worker waits: the handler of a subscription is called when
// there is news. An informer that may not list its kind answers Unknown, and its users
// fall back to reading the object.
//
// The informers are client-go's. Those of controller-runtime's cache keep whole objects, go on
// when nobody uses them any more, and do not say which owner an object is of. Of a Deployment,
// 1.4 kB are kept here, and there 21 kB, or 9.5 kB without its managed fields:
//
//	go test -run xxx -bench Held ./apply/watch
package watch

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/resourceversion"
)

// Target is what an informer watches: all applied objects of a kind, each read by the
// rules of its owner, or, whoever applied it, one object by its name, or all of a kind in a
// namespace.
type Target struct {
	schema.GroupVersionKind
	Namespace, Name string
	// All is all objects of the kind in the namespace, of a kind without namespaces all there are.
	All bool
	// Rules is the digest of those by which objects are read that anybody applied: those of the
	// subscriptions that use the target.
	Rules string
}

// Informers are the informers of one cluster, for the owners of one kind.
type Informers struct {
	observer Observer
	objects  dynamic.Interface
	metadata metadata.Interface
	mapper   meta.RESTMapper
	log      logr.Logger

	// limits are those of a cluster that is somebody's own; zero is this one.
	limits Limits

	mu       sync.Mutex
	byTarget map[Target]*informer
	// owners routes news of labelled objects, and waiting news of awaited ones.
	owners  map[decide.Owner]*Subscription
	waiting map[inventory.ID]map[*Subscription]bool
	// references are what the owners of a namespace have of this cluster beside what they apply.
	references map[string]*Quota
	closed     bool
}

// informer is one running informer and its users.
type informer struct {
	cache.SharedIndexInformer
	users  map[*Subscription]bool
	cancel context.CancelFunc
	// quota is what it counts to, which is that of the namespace that it was started for.
	quota     *Quota
	namespace string
	// blind is closed when the informer turns out not to be allowed, or to have too much.
	blind     chan struct{}
	blindOnce sync.Once
	// bounds are those of a cluster that is somebody's own, or of all objects of a kind, else nil.
	bounds *boundedListWatch
}

// New returns the informers of the cluster of config, none of which runs yet.
func New(config *rest.Config, mapper meta.RESTMapper, log logr.Logger, profile *decide.Profile) (*Informers, error) {
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	metadata, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Informers{
		observer: NewObserver(profile), objects: objects, metadata: metadata, mapper: mapper, log: log,
		byTarget: map[Target]*informer{}, owners: map[decide.Owner]*Subscription{},
		waiting: map[inventory.ID]map[*Subscription]bool{}, references: map[string]*Quota{},
	}, nil
}

// Limit sets limits, before there is an informer.
func (s *Informers) Limit(limits Limits) { s.limits = limits }

// Start implements manager.Runnable: it stops all informers when ctx ends.
func (s *Informers) Start(ctx context.Context) error {
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for target := range s.byTarget {
		s.stop(target)
	}
	return nil
}

// Observe returns what is known of an object as of the given version, "" for any, by no
// rules.
func (s *Informers) Observe(gvk schema.GroupVersionKind, id inventory.ID, since string) (*decide.LiveObject, decide.Freshness) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.observe(gvk, id, since, nil)
}

// observe returns what is known of an object that was read by rules.
func (s *Informers) observe(
	gvk schema.GroupVersionKind, id inventory.ID, since string, rules *Rules,
) (*decide.LiveObject, decide.Freshness) {
	best := decide.Unknown
	unlabelled := unlabelledTargets(gvk, id, rules)
	for _, target := range [...]Target{unlabelled[0], unlabelled[1], {GroupVersionKind: gvk}} {
		inf := s.byTarget[target]
		if inf == nil || !inf.HasSynced() {
			continue
		}
		// In this order: what the store had not seen when it was asked for the object may
		// be there a moment later. The informer's own version is ahead of its store.
		last := inf.GetStore().LastStoreSyncResourceVersion()
		obj, found, err := inf.GetStore().GetByKey(keyOf(id.Namespace, id.Name))
		switch {
		case err == nil && found && !obj.(*decide.LiveObject).OlderThan(since):
			if seen := obj.(*decide.LiveObject); seen.Rules == rules.DigestFor(gvk, seen) {
				return seen, decide.Fresh
			}
		case found || isBehind(last, since):
			best = decide.Stale
		case best == decide.Unknown:
			best = decide.Missing
		}
	}
	return nil, best
}

// holds reports whether the informer of a kind has an object in exactly one version.
func (s *Informers) holds(gvk schema.GroupVersionKind, id inventory.ID, version string) bool {
	inf := s.byTarget[Target{GroupVersionKind: gvk}]
	if inf == nil {
		return false
	}
	obj, found, err := inf.GetStore().GetByKey(keyOf(id.Namespace, id.Name))
	return err == nil && found && obj.(*decide.LiveObject).ResourceVersion == version
}

// isBehind reports whether a store that was last changed at one version may lack what
// was written at another. A store without a version has seen nothing for sure.
func isBehind(last, since string) bool {
	return since != "" && (last == "" || resourceversion.Older(last, since))
}

// discoveryPatience is how long a run waits to be told which resources have its kinds. Those
// that are left are Unknown until the next run.
const discoveryPatience = time.Minute

// findKinds asks the API server which resources have the kinds of targets; nil is for those
// that it does not know, or not in time. The lock is not held: an API server may be slow.
func (s *Informers) findKinds(ctx context.Context, targets []Target, into map[Target]*meta.RESTMapping) {
	ctx, cancel := context.WithTimeout(ctx, discoveryPatience)
	defer cancel()
	for _, target := range targets {
		into[target] = nil
		if ctx.Err() != nil {
			continue
		}
		mapping, err := s.mapper.RESTMapping(target.GroupKind(), target.Version)
		if err != nil {
			s.log.V(1).Info("kind cannot be watched yet", "kind", target.GroupVersionKind.String(), "reason", err.Error())
			continue
		}
		into[target] = mapping
	}
}

// unresolved are the targets that no informer is for, and of which it is not known which
// resources have their kinds. The lock is held.
func (s *Informers) unresolved(targets []Target, known map[Target]*meta.RESTMapping) []Target {
	var left []Target
	for _, target := range targets {
		if _, ok := known[target]; !ok && s.byTarget[target] == nil {
			left = append(left, target)
		}
	}
	return left
}

// ensure returns the target's informer, started if need be; nil when the
// cluster does not know the kind. The lock is held.
func (s *Informers) ensure(ctx context.Context, target Target, mapping *meta.RESTMapping, u *Subscription) *informer {
	if inf := s.byTarget[target]; inf != nil {
		return inf
	}
	if mapping == nil {
		return nil
	}
	limits := s.limitsOf(target, u.owner.Namespace)
	if limits.Targets > 0 && len(s.byTarget) >= limits.Targets || !limits.Quota.acquire() {
		return nil
	}
	lw, example := s.listWatch(target, mapping)
	inf := &informer{
		users: map[*Subscription]bool{}, blind: make(chan struct{}), quota: limits.Quota, namespace: u.owner.Namespace,
	}
	var bounded cache.ListerWatcher = lw
	if limits.Objects > 0 {
		inf.bounds = limits.listWatch(lw, func(err error) { s.exceeded(target, inf, err) })
		bounded = inf.bounds
	}
	inf.SharedIndexInformer = cache.NewSharedIndexInformer(bounded, example, 0, cache.Indexers{})
	// The informer outlives the reconcile that needed it first.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	if err := s.configure(running, inf, target, u.rules); err != nil {
		cancel()
		s.release(inf)
		s.log.Error(err, "watching applied objects", "kind", target.GroupVersionKind.String())
		return nil
	}
	inf.cancel = cancel
	s.byTarget[target] = inf
	go inf.RunWithContext(running)
	return inf
}

// exceeded ends an informer of whose objects there are too many: they are Unknown to its
// users, who are woken, and read one by one. Another one is started for the next who uses the
// target when nobody does any more.
func (s *Informers) exceeded(target Target, inf *informer, err error) {
	inf.blindOnce.Do(func() {
		s.log.Error(err, "too much to watch; reading objects one by one instead", "kind", target.GroupVersionKind.String())
		close(inf.blind)
	})
	s.mu.Lock()
	var users []*Subscription
	if s.byTarget[target] == inf {
		inf.cancel()
		inf.bounds.release()
		// One that never runs, and holds nothing.
		s.byTarget[target] = &informer{
			SharedIndexInformer: cache.NewSharedIndexInformer(&cache.ListWatch{}, &unstructured.Unstructured{}, 0, cache.Indexers{}),
			users:               inf.users, cancel: func() {}, blind: inf.blind, quota: inf.quota, namespace: inf.namespace,
		}
		users = slices.Collect(maps.Keys(inf.users))
	}
	s.mu.Unlock()
	for _, u := range users {
		u.handler.HealthChanged()
	}
}

// tellOnceSynced wakes the users of an informer that has become able to list after all, as that of an identity which was given the
// right: it has no event for what was deleted or changed until then.
func (s *Informers) tellOnceSynced(ctx context.Context, inf *informer) {
	select {
	case <-inf.HasSyncedChecker().Done():
	case <-ctx.Done():
		return
	}
	s.mu.Lock()
	users := slices.Collect(maps.Keys(inf.users))
	s.mu.Unlock()
	for _, u := range users {
		u.handler.HealthChanged()
	}
}

// configure has the informer keep what the observer reads. A panic in that, which runs in a
// goroutine of the informer, would end the process: the list fails, and is tried again.
func (s *Informers) configure(ctx context.Context, inf *informer, target Target, rules *Rules) error {
	err := inf.SetTransform(func(obj any) (kept any, err error) {
		err = background.Try(ctx, func() error {
			by := rules
			if !target.byAnybody() {
				by = s.rulesFor(obj)
			}
			kept, err = s.observer.With(by).trim(target.GroupVersionKind, obj)
			return err
		})
		return kept, err
	})
	if err != nil {
		return err
	}
	err = inf.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *cache.Reflector, err error) {
		if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
			inf.blindOnce.Do(func() {
				s.log.Info("cannot watch; reading objects one by one instead", "kind", target.GroupVersionKind.String(), "reason", err.Error())
				close(inf.blind)
				go s.tellOnceSynced(ctx, inf)
			})
			return
		}
		cache.DefaultWatchErrorHandler(ctx, r, err)
	})
	if err != nil {
		return err
	}
	_, err = inf.AddEventHandler(background.EventHandler(ctx, s.handler(target.GroupVersionKind)))
	return err
}

// rulesFor are the rules of an object's owner.
func (s *Informers) rulesFor(obj any) *Rules {
	labelled, ok := obj.(metav1.Object)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.owners[s.observer.profile.OwnerOf(labelled.GetLabels())]; u != nil {
		return u.rules
	}
	return nil
}

// stop ends an informer. The lock is held.
func (s *Informers) stop(target Target) {
	inf := s.byTarget[target]
	inf.cancel()
	if inf.bounds != nil {
		inf.bounds.release()
	}
	s.release(inf)
	delete(s.byTarget, target)
}

// listWatch lists and watches target. Of kinds that are healthy as soon as they
// exist only the metadata is asked for, so that no Secret's value comes here.
func (s *Informers) listWatch(target Target, mapping *meta.RESTMapping) (*cache.ListWatch, runtime.Object) {
	narrow := func(opts metav1.ListOptions) metav1.ListOptions {
		switch {
		case target.Name != "":
			opts.FieldSelector = fields.OneTermEqualSelector("metadata.name", target.Name).String()
		case !target.All:
			opts.LabelSelector = s.observer.profile.NameLabel
		}
		return opts
	}
	if metadataOnly(target.GroupKind()) {
		c := s.metadata.Resource(mapping.Resource).Namespace(target.Namespace)
		return &cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
				return c.List(ctx, narrow(opts))
			},
			WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (apiwatch.Interface, error) {
				return c.Watch(ctx, narrow(opts))
			},
		}, &metav1.PartialObjectMetadata{}
	}
	c := s.objects.Resource(mapping.Resource).Namespace(target.Namespace)
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			return c.List(ctx, narrow(opts))
		},
		WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (apiwatch.Interface, error) {
			return c.Watch(ctx, narrow(opts))
		},
	}, &unstructured.Unstructured{}
}
