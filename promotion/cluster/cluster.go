// SPDX-License-Identifier: Apache-2.0

// Package cluster knows the objects that the stages of pipelines are judged by, in this
// cluster and in those that a kubeConfig leads to.
//
//	Reader(pipeline).Get(kubeConfig, object) --> the object as it is now, or why there is none
//	           |                                                   ^
//	           '--> watch (kind, namespace) --list, watch--> API server --news--> wake(pipeline)
//
// The first pipeline that names a kind in a namespace starts a watch, and the last one
// that stops to name it ends that. Nobody waits for an API server, or for
// a cloud that says where one is: an answer says what
// has been seen so far, and a pipeline is woken when there is more. So a cluster that
// cannot be reached holds up nobody but the stages that are in it.
//
// What is kept of an object is what readiness needs: its metadata without annotations,
// its status, and where a workload has its images. A kubeConfig is its author's word (see
// internal/kubeconfig): of what its server answers no more is kept than was asked for.
//
// A restart loses nothing but the watches, which start again.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-logr/logr"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/kubeconfig"
)

// Bounds of how much is watched, and asked of clouds.
const (
	maxQuestions             = 1000
	maxQuestionsPerNamespace = 5 // at once
	maxWaitingPerNamespace   = 200

	maxWatches             = 5000 // in all
	maxWatchesPerNamespace = 1000 // for the pipelines of a namespace
)

// Object names an object of a cluster.
type Object struct {
	schema.GroupVersionKind
	types.NamespacedName
}

// String is how messages name it: `HelmRelease apps/shop`.
func (o Object) String() string { return o.Kind + " " + o.NamespacedName.String() }

// Answer is what is known of an object.
type Answer struct {
	// Object as it was seen last; nil if there is none, or if that is not known.
	Object *unstructured.Unstructured
	// Why says why there is none, and what to do.
	Why string
	// Unknown means that nobody can tell whether there is one: its cluster or its kind
	// cannot be read.
	Unknown bool
	// Failed means that looking for it failed, such as that its kind is not installed: then it
	// is unknown not only until the first answer.
	Failed bool
	// Missing means that there is none.
	Missing bool
}

// Options are what [New] needs.
type Options struct {
	// Config and Mapper are those of this cluster.
	Config *rest.Config
	Mapper apimeta.RESTMapper
	// KubeConfigs reads them; see [kubeconfig.Reader].
	KubeConfigs KubeConfigs
	Clock       clock.WithTicker
	Log         logr.Logger
	// Wake is called with the pipeline whose objects have changed.
	Wake func(pipeline types.NamespacedName)
}

// Clusters are this cluster and others. It is safe for concurrent use.
type Clusters struct {
	Options
	local *connection

	// asking are questions to clouds that are under way.
	asking background.Runner[question, *kubeconfig.Config]

	mu        sync.Mutex
	watches   map[watchKey]*watch
	users     map[types.NamespacedName]map[watchKey]bool
	questions map[types.NamespacedName]map[question]bool
	closed    bool
}

// KubeConfigs reads what kubeConfigs say.
type KubeConfigs interface {
	Read(ctx context.Context, namespace string, ref *meta.KubeConfigReference) (*kubeconfig.Config, error)
	Version(ctx context.Context, namespace string, ref *meta.KubeConfigReference) (string, error)
}

// watchKey is what a watch is of. Of other clusters it is one object, since whoever owns
// them decides what they answer; of this one it is a kind in a namespace.
type watchKey struct {
	cluster string // see connection.id
	schema.GroupVersionKind
	namespace, name string
}

// New returns the clusters, without any watch.
func New(options Options) (*Clusters, error) {
	local, err := connectLocally(options.Config, options.Mapper)
	if err != nil {
		return nil, err
	}
	c := &Clusters{
		Options: options, local: local, watches: map[watchKey]*watch{}, users: map[types.NamespacedName]map[watchKey]bool{},
		questions: map[types.NamespacedName]map[question]bool{},
	}
	c.asking.Limit, c.asking.PerNamespace = maxQuestions, maxQuestionsPerNamespace
	c.asking.Wake = func(about question) { c.Wake(about.pipeline) }
	return c, nil
}

// Start implements manager.Runnable: it ends all watches when ctx ends.
func (c *Clusters) Start(ctx context.Context) error {
	<-ctx.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for key := range c.watches {
		c.stopWatch(key)
	}
	return nil
}

// Forget ends the watches that a pipeline alone needed, and its questions to clouds.
func (c *Clusters) Forget(pipeline types.NamespacedName) {
	c.retain(pipeline, nil)
	c.keepQuestions(pipeline, nil)
}

// Reader reads the objects of a pipeline once: what it was not asked for when it is done is
// not watched for the pipeline any more. It is not safe for concurrent use.
type Reader struct {
	clusters *Clusters
	pipeline types.NamespacedName
	used     map[watchKey]bool
	opened   map[string]connectionResult // by what their kubeConfigs are
	asked    map[question]bool
}

// connectionResult is what came of opening a connection.
type connectionResult struct {
	*connection
	err error
}

// Reader begins to read the objects of a pipeline.
func (c *Clusters) Reader(pipeline types.NamespacedName) *Reader {
	return &Reader{clusters: c, pipeline: pipeline, used: map[watchKey]bool{},
		opened: map[string]connectionResult{}, asked: map[question]bool{}}
}

// Done ends the watches that this reader did not use.
func (l *Reader) Done() {
	l.clusters.retain(l.pipeline, l.used)
	l.clusters.keepQuestions(l.pipeline, l.asked)
}

// Get returns what is known of an object in the cluster of a kubeConfig, nil for this
// one. An error is about a kubeConfig that cannot be used.
func (l *Reader) Get(ctx context.Context, at *meta.KubeConfigReference, object Object) (Answer, error) {
	if object.Group == "" && (object.Kind == "Secret" || object.Kind == "ConfigMap") {
		return Answer{}, fmt.Errorf("%s: Secrets and ConfigMaps are never Ready", object)
	}
	conn, err := l.connection(ctx, at)
	if cloud := (*cloudError)(nil); errors.As(err, &cloud) {
		return Answer{
			Unknown: true, Failed: !errors.Is(err, background.ErrPending),
			Why: fmt.Sprintf("%s (cluster of kubeConfig %s) is not known: %s", object, at.ConfigMapRef.Name, cloud),
		}, nil
	}
	if err != nil {
		return Answer{}, err
	}
	key := watchKey{cluster: conn.id, GroupVersionKind: object.GroupVersionKind, namespace: object.Namespace}
	if conn != l.clusters.local {
		key.name = object.Name
	}
	l.used[key] = true
	return l.clusters.get(ctx, l.pipeline, conn, key, object), nil
}

// get starts the watch if there is none, and says what it has seen.
func (c *Clusters) get(ctx context.Context, pipeline types.NamespacedName, conn *connection, key watchKey, object Object) Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.watches[key]
	if w == nil {
		if len(c.watches) >= maxWatches || c.watchesOf(pipeline.Namespace) >= maxWatchesPerNamespace {
			return Answer{
				Unknown: true, Failed: true,
				Why: fmt.Sprintf("%s is not looked at: too many kinds of objects are watched for namespace %s", object, pipeline.Namespace),
			}
		}
		if c.closed {
			return Answer{Unknown: true, Why: "the process ends"}
		}
		w = c.startWatch(ctx, conn, key)
	}
	if c.users[pipeline] == nil {
		c.users[pipeline] = map[watchKey]bool{}
	}
	c.users[pipeline][key] = true
	w.needs(pipeline, object.Name)
	return w.answer(object)
}

// watchesOf is how many watches the pipelines of a namespace use. The lock is held.
func (c *Clusters) watchesOf(namespace string) int {
	total := 0
	for pipeline, used := range c.users {
		if pipeline.Namespace == namespace {
			total += len(used)
		}
	}
	return total
}

// startWatch starts a watch, which outlives the reader that needed it first. The lock is held.
func (c *Clusters) startWatch(ctx context.Context, conn *connection, key watchKey) *watch {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w := &watch{watched: key, cancel: cancel, connection: conn, users: map[types.NamespacedName]map[string]bool{}}
	c.watches[key] = w
	conn.users++
	go background.Run(running, func() { c.follow(running, w) })
	return w
}

// stopWatch stops a watch. The lock is held.
func (c *Clusters) stopWatch(key watchKey) {
	w := c.watches[key]
	w.cancel()
	delete(c.watches, key)
	if w.connection.users--; w.connection.users == 0 {
		w.connection.close()
	}
}

// retain ends the watches that a pipeline does not use any more.
func (c *Clusters) retain(pipeline types.NamespacedName, used map[watchKey]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.users[pipeline] {
		if used[key] {
			continue
		}
		delete(c.users[pipeline], key)
		if w := c.watches[key]; w != nil {
			if delete(w.users, pipeline); len(w.users) == 0 {
				c.stopWatch(key)
			}
		}
	}
	if len(c.users[pipeline]) == 0 {
		delete(c.users, pipeline)
	}
}
