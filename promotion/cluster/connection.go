// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/kubeconfig"
)

// connection is how an API server is reached.
type connection struct {
	// id is empty for this cluster, else it names the kubeConfig and what it says.
	id string
	// name is what people call the cluster: the Secret or the ConfigMap of its kubeConfig.
	name string
	// from is what a cloud was asked because of, under the lock of the clusters. moved
	// reports whether the cluster is elsewhere by now.
	from    source
	moved   func() bool
	mapper  apimeta.RESTMapper
	objects dynamic.Interface
	// users are the watches that use it, under the lock of the clusters.
	users int
	idle  func()
}

func connectLocally(config *rest.Config, mapper apimeta.RESTMapper) (*connection, error) {
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &connection{mapper: mapper, objects: objects, idle: func() {}}, nil
}

// connection is the one to the cluster of a kubeConfig. Who uses another kubeConfig has
// another connection.
func (l *Reader) connection(ctx context.Context, at *meta.KubeConfigReference) (*connection, error) {
	if at == nil {
		return l.clusters.local, nil
	}
	place, open := "", l.bySecret
	switch {
	case at.SecretRef != nil:
		place = "Secret/" + at.SecretRef.Name + "/" + at.SecretRef.Key
	case at.ConfigMapRef != nil:
		place, open = "ConfigMap/"+at.ConfigMapRef.Name, l.byCloud
	}
	if known, ok := l.opened[place]; ok {
		return known.connection, known.err
	}
	conn, err := open(ctx, at)
	l.opened[place] = connectionResult{conn, err}
	return conn, err
}

func (l *Reader) bySecret(ctx context.Context, at *meta.KubeConfigReference) (*connection, error) {
	config, err := l.clusters.KubeConfigs.Read(ctx, l.pipeline.Namespace, at)
	if err != nil {
		return nil, err
	}
	return l.clusters.open(config)
}

// question is what a cloud is asked: where the cluster of a ConfigMap is.
type question struct {
	pipeline  types.NamespacedName
	configMap string
}

// source is what a cloud was asked because of.
type source struct{ namespace, configMap, version string }

// cloudError says that a cloud has not said where a cluster is.
type cloudError struct{ error }

func (e *cloudError) Unwrap() error { return e.error }

// byCloud is the connection to a cluster that a cloud knows. The cloud is asked in the
// background, and again only when the ConfigMap changed or the cluster moved.
func (l *Reader) byCloud(ctx context.Context, at *meta.KubeConfigReference) (*connection, error) {
	version, err := l.clusters.KubeConfigs.Version(ctx, l.pipeline.Namespace, at)
	if err != nil {
		return nil, err
	}
	from := source{l.pipeline.Namespace, at.ConfigMapRef.Name, version}
	if conn := l.clusters.connected(func(c *connection) bool { return c.from == from && !c.moved() }); conn != nil {
		return conn, nil
	}
	about := question{l.pipeline, at.ConfigMapRef.Name}
	if !l.asked[about] && l.clusters.questionsOf(l.pipeline)+len(l.asked) >= maxWaitingPerNamespace {
		return nil, &cloudError{fmt.Errorf("the Pipelines of namespace %s ask clouds for %d clusters, which is the most that a namespace may",
			l.pipeline.Namespace, maxWaitingPerNamespace)}
	}
	l.asked[about] = true
	ask := background.Request[question]{Key: about, Input: version, Namespace: l.pipeline.Namespace, Now: l.clusters.Clock.Now()}
	config, err := l.clusters.asking.Run(context.WithoutCancel(ctx), ask, func(ctx context.Context) (*kubeconfig.Config, error) {
		return l.clusters.KubeConfigs.Read(ctx, l.pipeline.Namespace, at)
	})
	switch {
	case errors.Is(err, background.ErrPending):
		return nil, &cloudError{fmt.Errorf("its cloud is being asked where it is: %w", err)}
	case errors.Is(err, kubeconfig.ErrInvalid):
		return nil, err
	case err != nil:
		return nil, &cloudError{err}
	}
	conn, err := l.clusters.open(config)
	if err == nil {
		l.clusters.mu.Lock()
		conn.from = from
		l.clusters.mu.Unlock()
	}
	return conn, err
}

// questionsOf is how many questions the other pipelines of a namespace have.
func (c *Clusters) questionsOf(pipeline types.NamespacedName) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	count := 0
	for other, asked := range c.questions {
		if other.Namespace == pipeline.Namespace && other != pipeline {
			count += len(asked)
		}
	}
	return count
}

// keepQuestions forgets what a pipeline asked clouds and does not ask any more.
func (c *Clusters) keepQuestions(pipeline types.NamespacedName, asked map[question]bool) {
	c.mu.Lock()
	before := c.questions[pipeline]
	delete(c.questions, pipeline)
	if len(asked) > 0 {
		c.questions[pipeline] = asked
	}
	c.mu.Unlock()
	for about := range before {
		if !asked[about] {
			c.asking.Forget(about)
		}
	}
}

// open is the connection that a config leads to: one that a watch uses already, or a new one.
func (c *Clusters) open(config *kubeconfig.Config) (*connection, error) {
	if conn := c.connected(func(conn *connection) bool { return conn.id == config.ID }); conn != nil {
		return conn, nil
	}
	return c.connect(config)
}

func (c *Clusters) connect(config *kubeconfig.Config) (*connection, error) {
	to, err := config.Connect(c.Clock)
	if err != nil {
		return nil, err
	}
	objects, err := dynamic.NewForConfigAndClient(to.REST, to.HTTP)
	if err != nil {
		return nil, errors.Join(kubeconfig.ErrInvalid, err)
	}
	return &connection{id: to.ID, name: to.Name, mapper: to.Mapper, objects: objects, moved: to.Moved, idle: to.Close}, nil
}

// connected is a connection to another cluster that a watch uses already, or nil.
func (c *Clusters) connected(is func(*connection) bool) *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.watches {
		if w.connection != c.local && is(w.connection) {
			return w.connection
		}
	}
	return nil
}

// mapping asks the API server which resource has a kind, unless it is known.
func (c *connection) mapping(kind schema.GroupVersionKind) (*apimeta.RESTMapping, error) {
	return c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
}

// clusterSuffix says which cluster it is, if that is another one.
func (c *connection) clusterSuffix() string {
	if c.name == "" {
		return ""
	}
	return fmt.Sprintf(" (cluster of kubeConfig %s)", c.name)
}

func (c *connection) close() { c.idle() }
