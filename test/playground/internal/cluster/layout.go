// SPDX-License-Identifier: Apache-2.0

// Package cluster knows how to run a Kubernetes control plane for tests: the
// command line of each component, the certificates and kubeconfigs that they
// show to one another, and how to ask whether they are ready.
//
//	etcd <- kube-apiserver <- kube-controller-manager, kube-scheduler, kwok
//
// It is tuned for a small machine that is busy with something else: etcd does
// not wait for the disk, nobody elects leaders, profiling is off. What a
// client can see is as in production: TLS, RBAC, admission, service account
// tokens, garbage collection.
package cluster

import (
	"fmt"
	"path/filepath"
)

// Layout is where things are: files in Dir, servers on ports of Host.
type Layout struct {
	Dir   string
	Ports Ports
}

// Ports of the components, all on the loopback address.
type Ports struct {
	Etcd, EtcdPeer, APIServer, ControllerManager, Scheduler, Kwok int
}

// Host is the address that everything listens on.
const Host = "127.0.0.1"

// Addresses inside the cluster.
const (
	ServiceCIDR  = "10.96.0.0/16"
	apiServiceIP = "10.96.0.1"
	DNSServiceIP = "10.96.0.10"
)

func (l Layout) pki(name string) string { return filepath.Join(l.Dir, "pki", name) }

func (l Layout) config(name string) string { return filepath.Join(l.Dir, "config", name) }

// Kubeconfig is the administrator's.
func (l Layout) Kubeconfig() string { return filepath.Join(l.Dir, "kubeconfig") }

// URL of the API server.
func (l Layout) URL() string { return fmt.Sprintf("https://%s:%d", Host, l.Ports.APIServer) }

func (l Layout) etcdURL() string { return fmt.Sprintf("http://%s:%d", Host, l.Ports.Etcd) }

func (l Layout) etcdPeerURL() string { return fmt.Sprintf("http://%s:%d", Host, l.Ports.EtcdPeer) }
