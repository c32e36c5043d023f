// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
)

// simulated is the annotation by which kwok knows its nodes.
const simulated = "kwok.x-k8s.io/node"

// SimulatedNodes are the names of the nodes that kwok plays: several, so that
// spreading and anti-affinity have something to work with.
var SimulatedNodes = []string{"node-1", "node-2", "node-3"}

type object = map[string]any

// CreateSimulatedNodes registers the nodes, as their kubelets would.
func (a *API) CreateSimulatedNodes(ctx context.Context) error {
	for _, name := range SimulatedNodes {
		if err := a.Create(ctx, "/api/v1/nodes", simulatedNode(name)); err != nil {
			return fmt.Errorf("registering node %s: %w", name, err)
		}
	}
	return nil
}

func simulatedNode(name string) object {
	resources := object{"cpu": "64", "memory": "256Gi", "pods": "2000", "ephemeral-storage": "1Ti"}
	return object{
		"apiVersion": "v1",
		"kind":       "Node",
		"metadata": object{
			"name":        name,
			"annotations": object{simulated: "fake"},
			"labels": object{
				"kubernetes.io/hostname": name,
				"kubernetes.io/os":       "linux",
				"kubernetes.io/arch":     runtime.GOARCH,
				"type":                   "kwok",
			},
		},
		"status": object{"capacity": resources, "allocatable": resources},
	}
}

// NodesReady says which of the nodes is not Ready yet, if any.
func (a *API) NodesReady(ctx context.Context, names ...string) error {
	for _, name := range names {
		var node struct {
			Status struct {
				Conditions []struct{ Type, Status, Message string }
			}
		}
		if err := a.Get(ctx, "/api/v1/nodes/"+name, &node); err != nil {
			return fmt.Errorf("asking for node %s: %w", name, err)
		}
		why := errors.New("has not reported yet")
		for _, c := range node.Status.Conditions {
			switch {
			case c.Type == "Ready" && c.Status == "True":
				why = nil
			case c.Type == "Ready":
				why = errors.New(c.Message)
			}
		}
		if why != nil {
			return fmt.Errorf("node %s: %w", name, why)
		}
	}
	return nil
}

// Usable says what still keeps a pod from being created in the default
// namespace: its service account, which the controller manager makes.
func (a *API) Usable(ctx context.Context) error {
	err := a.Get(ctx, "/api/v1/namespaces/default/serviceaccounts/default", nil)
	if isStatus(err, http.StatusNotFound) {
		return errors.New("the default service account is not there yet")
	}
	return err
}

// PublishAPIServer says where pods find the API server: the endpoint of the
// Service "kubernetes".
func (a *API) PublishAPIServer(ctx context.Context, ip string, port int) error {
	return a.Create(ctx, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", object{
		"apiVersion": "discovery.k8s.io/v1",
		"kind":       "EndpointSlice",
		"metadata": object{
			"name": "kubernetes",
			"labels": object{
				"kubernetes.io/service-name":             "kubernetes",
				"endpointslice.kubernetes.io/managed-by": "playground.sluice.dev",
			},
		},
		"addressType": "IPv4",
		"endpoints":   []object{{"addresses": []string{ip}, "conditions": object{"ready": true}}},
		"ports":       []object{{"name": "https", "port": port, "protocol": "TCP"}},
	})
}
