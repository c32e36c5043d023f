// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/sluice-cd/sluice/internal/kubeconfig"
)

// connection is how an API server is reached.
type connection struct {
	// id is empty for this cluster, else it names the kubeConfig and what it says.
	id string
	// name is what people call the cluster: the Secret of its kubeConfig.
	name    string
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
func (l *Look) connection(ctx context.Context, at *meta.KubeConfigReference) (*connection, error) {
	if at == nil {
		return l.clusters.local, nil
	}
	if at.SecretRef == nil { // a cloud would keep a worker waiting
		return nil, fmt.Errorf("%w: configMapRef is not supported; use secretRef", kubeconfig.ErrInvalid)
	}
	place := at.SecretRef.Name + "/" + at.SecretRef.Key
	if conn, ok := l.opened[place]; ok {
		return conn, nil
	}
	config, err := l.clusters.KubeConfigs.Read(ctx, l.pipeline.Namespace, at)
	if err != nil {
		return nil, err
	}
	conn := l.clusters.connected(config.ID)
	if conn == nil {
		if conn, err = l.clusters.connect(config); err != nil {
			return nil, err
		}
	}
	l.opened[place] = conn
	return conn, nil
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
	return &connection{id: to.ID, name: to.Name, mapper: to.Mapper, objects: objects, idle: to.Close}, nil
}

// connected is the connection that a watch uses already, or nil.
func (c *Clusters) connected(id string) *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, w := range c.watches {
		if key.cluster == id {
			return w.connection
		}
	}
	return nil
}

// mapping asks the API server which resource has a kind, unless it is known.
func (c *connection) mapping(kind schema.GroupVersionKind) (*apimeta.RESTMapping, error) {
	return c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
}

// where says which cluster it is, if that is another one.
func (c *connection) where() string {
	if c.name == "" {
		return ""
	}
	return fmt.Sprintf(" (cluster of kubeConfig %s)", c.name)
}

func (c *connection) close() { c.idle() }
