// SPDX-License-Identifier: Apache-2.0

// Package realnode makes this machine a Kubernetes node that runs containers:
// containerd, kubelet and kube-proxy, with pods on a bridge that the host can
// reach.
//
//	kubelet -> containerd -> shim -> runc -> container
//	                      -> CNI  -> bridge slc<id>, 10.x.y.0/24, host is .1
//	kube-proxy -> iptables chains KUBE-*
//	pod -> 10.96.0.1:443 (Service kubernetes) -> host .1 -> API server on loopback
//
// It needs Linux, root and a few packages. What can live in the playground's
// folder lives there; what cannot (network devices, iptables, cgroups, kernel
// settings) is removed or put back by Cleanup. Cleanup asks no daemon for help:
// it looks at the kernel's own tables, and so works whatever has died.
//
// The iptables chains and cgroups have fixed names, so a machine can be one
// node only.
package realnode

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"
)

// Ports of the node's programs.
type Ports struct {
	Kubelet, KubeletHealth, ProxyHealth, ProxyMetrics int
}

// Name of the node.
const Name = "node-1"

// Node is this machine as a node of the playground in Dir.
type Node struct {
	Dir   string
	Ports Ports
	Host  Host // what Prepare found and changed
}

// Host is what must be remembered until Cleanup.
type Host struct {
	Third   int               `json:"third"`   // byte of the pods' subnet
	Sysctls map[string]string `json:"sysctls"` // as they were
}

// templates are the configuration files of the node's programs.
//
//go:embed config
var templates embed.FS

// Bridge is the name of the pods' network device, and of their CNI network.
func (n *Node) Bridge() string {
	sum := sha256.Sum256([]byte(n.Dir))
	return "slc" + hex.EncodeToString(sum[:4])
}

// Gateway is the host's address among the pods.
func (n *Node) Gateway() string { return fmt.Sprintf("10.213.%d.1", n.Host.Third) }

// Subnet is the pods'.
func (n *Node) Subnet() string { return fmt.Sprintf("10.213.%d.0/24", n.Host.Third) }

// Socket is containerd's. Its path may be 107 bytes long, so it is not in the
// playground's folder, which may be deep.
func (n *Node) Socket() string { return filepath.Join("/run", n.Bridge()+".sock") }

// WriteConfig writes the configuration of all programs.
func (n *Node) WriteConfig() error {
	values := struct {
		*Node
		Name, PauseImage, Snapshotter, CNIPlugins string
	}{n, Name, PauseImage, snapshotter(n.Dir), cniPlugins()}
	for name, target := range map[string]string{
		"containerd.toml": "containerd.toml", "kubelet.yaml": "kubelet.yaml",
		"kube-proxy.yaml": "kube-proxy.yaml", "cni.conflist": "cni/playground.conflist",
	} {
		t, err := template.ParseFS(templates, "config/"+name)
		if err != nil {
			return err
		}
		var text bytes.Buffer
		if err := t.Execute(&text, values); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		target = filepath.Join(n.Dir, "config", target)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := replace(target, text.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// replace leaves a file alone that is right already: kube-proxy ends itself
// when its configuration is written.
func replace(name string, data []byte) error {
	if now, err := os.ReadFile(name); err == nil && bytes.Equal(now, data) {
		return nil
	}
	return os.WriteFile(name, data, 0o644)
}

// Containerd is the command line of containerd.
func (n *Node) Containerd() []string {
	return []string{"containerd", "--config=" + filepath.Join(n.Dir, "config", "containerd.toml"), "--log-level=warn"}
}

// Kubelet is the arguments of kubelet.
func (n *Node) Kubelet() []string {
	return []string{
		"kubelet",
		"--config=" + filepath.Join(n.Dir, "config", "kubelet.yaml"),
		"--kubeconfig=" + filepath.Join(n.Dir, "config", "kubelet.kubeconfig"),
		"--root-dir=" + filepath.Join(n.Dir, "data", "kubelet"),
		"--cert-dir=" + filepath.Join(n.Dir, "pki", "kubelet"),
		"--hostname-override=" + Name,
		"--node-ip=" + n.Gateway(),
	}
}

// KubeProxy is the arguments of kube-proxy.
func (n *Node) KubeProxy() []string {
	return []string{"kube-proxy", "--config=" + filepath.Join(n.Dir, "config", "kube-proxy.yaml")}
}

// run runs a host's tool and makes its complaint part of the error.
func run(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %v: %w: %s", name, args, err, bytes.TrimSpace(out))
	}
	return string(out), nil
}
