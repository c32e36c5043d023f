// Package watch knows the live state of applied objects without asking for it.
//
// There is one informer for each kind of applied object, filtered by the label
// that every applied object carries, and one for each single object beyond
// those whose health somebody waits for. An informer keeps only what health and
// drift need ([Observed]), starts when the first Kustomization uses it, and
// stops with the last:
//
//	Use(owner, targets) --> informers --> Look(target): Seen, Missing, Unknown
//	Await(owner, objects) --> last one healthy, or one failed --> notify(owner)
//	OnChange(changed)     --> somebody changed or deleted an applied object
//
// Nobody polls and nobody is held: who waits for health is told when there is
// news. An informer that may not list its kind answers Unknown, and its users
// fall back to reading the object.
package watch

import (
	"context"
	"sync"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/sluice-cd/sluice/apply/inventory"
)

// OwnerLabel is the label that every applied object carries; its value is the
// name of the Kustomization; that of NamespaceLabel is its namespace.
const (
	OwnerLabel     = "kustomize.toolkit.fluxcd.io/name"
	NamespaceLabel = "kustomize.toolkit.fluxcd.io/namespace"
)

// Owner is the Kustomization on whose behalf objects are watched.
type Owner = types.NamespacedName

// Target is what an informer watches: all applied objects of a kind, or, with a
// name, one object whoever applied it.
type Target struct {
	schema.GroupVersionKind
	Namespace, Name string
}

// Sight is how much is known of an object.
type Sight int

// Unknown: nobody watches it, or not yet. Behind: the informer has not caught up
// with the version asked for. Missing: it is not there. Seen: it is.
const (
	Unknown Sight = iota
	Behind
	Missing
	Seen
)

// Set is the informers of one cluster.
type Set struct {
	objects  dynamic.Interface
	metadata metadata.Interface
	mapper   meta.RESTMapper
	log      logr.Logger
	notify   func(Owner)

	mu        sync.Mutex
	informers map[Target]*informer
	uses      map[Owner]map[Target]bool
	checks    map[Owner]*check
	waiters   map[inventory.ID]map[Owner]bool
	changed   func(Owner, News)
	closed    bool
}

// informer is one running informer and its users.
type informer struct {
	cache.SharedIndexInformer
	users  map[Owner]bool
	cancel context.CancelFunc
	// blind is closed when the informer turns out not to be allowed.
	blind     chan struct{}
	blindOnce sync.Once
}

// New returns a set that watches the cluster of config. notify is called, from
// informers' goroutines, when an awaited owner's health has changed.
func New(config *rest.Config, mapper meta.RESTMapper, log logr.Logger, notify func(Owner)) (*Set, error) {
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Set{
		objects: objects, metadata: meta, mapper: mapper, log: log, notify: notify,
		informers: map[Target]*informer{}, uses: map[Owner]map[Target]bool{},
		checks: map[Owner]*check{}, waiters: map[inventory.ID]map[Owner]bool{},
	}, nil
}

// Start implements manager.Runnable: it stops all informers when ctx ends.
func (s *Set) Start(ctx context.Context) error {
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for target := range s.informers {
		s.stop(target)
	}
	return nil
}

// Use makes targets what owner watches: missing informers start, and those that
// nobody uses any more stop. A kind that the cluster does not know is left out;
// its objects are Unknown.
func (s *Set) Use(ctx context.Context, owner Owner, targets []Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	wanted := make(map[Target]bool, len(targets))
	for _, target := range targets {
		if inf := s.ensure(ctx, target); inf != nil {
			inf.users[owner] = true
			wanted[target] = true
		}
	}
	for target := range s.uses[owner] {
		if wanted[target] {
			continue
		}
		inf := s.informers[target]
		if delete(inf.users, owner); len(inf.users) == 0 {
			s.stop(target)
		}
	}
	s.uses[owner] = wanted
}

// Release forgets owner.
func (s *Set) Release(ctx context.Context, owner Owner) {
	s.Use(ctx, owner, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(owner)
	delete(s.uses, owner)
}

// WaitSynced returns once all of owner's informers have listed, or cannot, or
// ctx is done.
func (s *Set) WaitSynced(ctx context.Context, owner Owner) {
	s.mu.Lock()
	waitFor := make([]*informer, 0, len(s.uses[owner]))
	for target := range s.uses[owner] {
		waitFor = append(waitFor, s.informers[target])
	}
	s.mu.Unlock()
	for _, inf := range waitFor {
		select {
		case <-inf.HasSyncedChecker().Done():
		case <-inf.blind:
		case <-ctx.Done():
			return
		}
	}
}

// Look returns what is known of an object as of the given version, "" for any.
func (s *Set) Look(gvk schema.GroupVersionKind, id inventory.ID, since string) (*Observed, Sight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.look(gvk, id, since)
}

func (s *Set) look(gvk schema.GroupVersionKind, id inventory.ID, since string) (*Observed, Sight) {
	best := Unknown
	for _, target := range []Target{{gvk, id.Namespace, id.Name}, {GroupVersionKind: gvk}} {
		inf := s.informers[target]
		if inf == nil || !inf.HasSynced() {
			continue
		}
		obj, found, err := inf.GetStore().GetByKey(keyOf(id.Namespace, id.Name))
		switch {
		case err == nil && found && !obj.(*Observed).OlderThan(since):
			return obj.(*Observed), Seen
		case found || older(inf.LastSyncResourceVersion(), since):
			best = Behind
		case best == Unknown:
			best = Missing
		}
	}
	return nil, best
}

// ensure returns the target's informer, started if need be; nil when the
// cluster does not know the kind.
func (s *Set) ensure(ctx context.Context, target Target) *informer {
	if inf := s.informers[target]; inf != nil {
		return inf
	}
	mapping, err := s.mapper.RESTMapping(target.GroupKind(), target.Version)
	if err != nil {
		s.log.V(1).Info("kind cannot be watched yet", "kind", target.GroupVersionKind.String(), "reason", err.Error())
		return nil
	}
	lw, example := s.listWatch(target, mapping)
	inf := &informer{
		SharedIndexInformer: cache.NewSharedIndexInformer(lw, example, 0, cache.Indexers{}),
		users:               map[Owner]bool{}, blind: make(chan struct{}),
	}
	if err := s.configure(inf, target); err != nil {
		s.log.Error(err, "watching applied objects", "kind", target.GroupVersionKind.String())
		return nil
	}
	// The informer outlives the reconcile that needed it first.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	inf.cancel = cancel
	s.informers[target] = inf
	go inf.RunWithContext(running)
	return inf
}

func (s *Set) configure(inf *informer, target Target) error {
	if err := inf.SetTransform(trim); err != nil {
		return err
	}
	err := inf.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *cache.Reflector, err error) {
		if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
			inf.blindOnce.Do(func() {
				s.log.Info("cannot watch; reading objects one by one instead", "kind", target.GroupVersionKind.String(), "reason", err.Error())
				close(inf.blind)
			})
			return
		}
		cache.DefaultWatchErrorHandler(ctx, r, err)
	})
	if err != nil {
		return err
	}
	_, err = inf.AddEventHandler(s.handler(target.GroupVersionKind))
	return err
}

func (s *Set) stop(target Target) {
	s.informers[target].cancel()
	delete(s.informers, target)
}

// listWatch lists and watches target. Of kinds that are healthy as soon as they
// exist only the metadata is asked for, so that no Secret's value comes here.
func (s *Set) listWatch(target Target, mapping *meta.RESTMapping) (*cache.ListWatch, runtime.Object) {
	narrow := func(opts metav1.ListOptions) metav1.ListOptions {
		if target.Name != "" {
			opts.FieldSelector = fields.OneTermEqualSelector("metadata.name", target.Name).String()
		} else {
			opts.LabelSelector = OwnerLabel
		}
		return opts
	}
	if target.Group == "" && (target.Kind == "Secret" || target.Kind == "ConfigMap") {
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
