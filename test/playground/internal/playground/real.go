// SPDX-License-Identifier: Apache-2.0

package playground

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/sluice-cd/sluice/test/playground/internal/realnode"
)

// host is this machine as a real node. Only valid once prepareHost has run.
func (p *Playground) host() *realnode.Node {
	port := p.state.Ports
	return &realnode.Node{Dir: p.dir, Host: *p.state.Host, Ports: realnode.Ports{
		Kubelet: port["kubelet"], KubeletHealth: port["kubelet-health"],
		ProxyHealth: port["kube-proxy-health"], ProxyMetrics: port["kube-proxy-metrics"],
	}}
}

// prepareHost notes how the host was, makes the pods' bridge and writes the
// node's configuration.
func (p *Playground) prepareHost(ctx context.Context) error {
	if p.state.Host == nil {
		fresh := &realnode.Node{Dir: p.dir}
		if err := fresh.Inspect(ctx); err != nil {
			return err
		}
		p.state.Host = &fresh.Host
		if err := p.state.save(); err != nil {
			return err
		}
	}
	node := p.host()
	if err := node.Prepare(); err != nil {
		return err
	}
	if err := node.WritePause(p.programs.pause); err != nil {
		return err
	}
	if err := node.WriteConfig(); err != nil {
		return fmt.Errorf("writing the node's configuration: %w", err)
	}
	return nil
}

// realNode lists what runs on a real node.
func (p *Playground) realNode() []service {
	node, port := p.host(), p.state.Ports
	run := func(args []string) []string { return append([]string{p.programs.node}, args...) }
	api := net.JoinHostPort(node.Gateway(), strconv.Itoa(port["kube-apiserver"]))
	return []service{
		{name: "containerd", args: node.Containerd(), ready: node.Ready},
		{
			name:  "forward",
			args:  []string{p.self, "serve", "forward", "--address", api, "--to", address(port["kube-apiserver"])},
			needs: []string{"kube-apiserver"},
			ready: answers("https://" + api + "/readyz"),
		},
		{
			name: "kubelet", args: run(node.Kubelet()), port: node.Ports.KubeletHealth,
			needs: []string{"kube-apiserver", "containerd"},
			ready: answers("http://" + address(node.Ports.KubeletHealth) + "/healthz"),
		},
		{
			name: "kube-proxy", args: run(node.KubeProxy()), port: node.Ports.ProxyHealth,
			needs: []string{"kubelet"},
			ready: answers("http://" + address(node.Ports.ProxyHealth) + "/healthz"),
		},
	}
}
