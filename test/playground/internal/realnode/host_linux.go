// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
)

// sysctls are the kernel settings that kubelet, kube-proxy or the bridge
// plugin change.
var sysctls = []string{
	"vm/overcommit_memory", "vm/panic_on_oom",
	"kernel/panic", "kernel/panic_on_oops",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
	"net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet",
	"net/ipv4/vs/conntrack",
}

// Inspect looks at the host before anything is changed: nobody else may make
// it a node, and what will be changed is noted. The result must be written
// down before Prepare.
func (n *Node) Inspect(ctx context.Context) error {
	if err := otherNode(ctx); err != nil {
		return err
	}
	if err := n.chooseSubnet(); err != nil {
		return err
	}
	n.Host.Sysctls = map[string]string{}
	for _, name := range sysctls {
		value, err := os.ReadFile(filepath.Join("/proc/sys", name))
		if errors.Is(err, os.ErrNotExist) {
			continue // a kernel without the feature
		}
		if err != nil {
			return fmt.Errorf("reading kernel settings: %w", err)
		}
		n.Host.Sysctls[name] = strings.TrimSpace(string(value))
	}
	return nil
}

// chooseSubnet takes the first that no device of the host overlaps.
func (n *Node) chooseSubnet() error {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("reading the host's addresses: %w", err)
	}
	for third := range 256 {
		n.Host.Third = third
		_, subnet, err := net.ParseCIDR(n.Subnet())
		if err != nil {
			return err
		}
		if !overlaps(subnet, addresses) {
			return nil
		}
	}
	return errors.New("no subnet for pods is free: 10.213.0.0/16 is all in use")
}

func overlaps(subnet *net.IPNet, addresses []net.Addr) bool {
	for _, a := range addresses {
		if other, ok := a.(*net.IPNet); ok && (subnet.Contains(other.IP) || other.Contains(subnet.IP)) {
			return true
		}
	}
	return false
}

// Prepare makes the bridge. The bridge plugin would, but only for the first
// pod: kubelet needs the address before.
func (n *Node) Prepare() error {
	if err := os.MkdirAll(filepath.Join(n.Dir, "run"), 0o755); err != nil {
		return err
	}
	if _, err := netlink.LinkByName(n.Bridge()); err == nil {
		return nil
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = n.Bridge()
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("making bridge %s: %w", n.Bridge(), err)
	}
	address, err := netlink.ParseAddr(n.Gateway() + "/24")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(bridge, address); err != nil {
		return fmt.Errorf("giving bridge %s its address: %w", n.Bridge(), err)
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return fmt.Errorf("starting bridge %s: %w", n.Bridge(), err)
	}
	return nil
}

func removeBridge(name string) error {
	link, err := netlink.LinkByName(name)
	var notFound netlink.LinkNotFoundError
	if errors.As(err, &notFound) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil {
		return fmt.Errorf("removing bridge %s: %w", name, err)
	}
	return nil
}

func (n *Node) restoreSysctls() error {
	var errs []error
	for name, value := range n.Host.Sysctls {
		path := filepath.Join("/proc/sys", name)
		if now, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(now)) == value {
			continue
		}
		errs = append(errs, os.WriteFile(path, []byte(value), 0o644))
	}
	return errors.Join(errs...)
}

// snapshotter is how containerd stacks the layers of images. The kernel does
// not stack overlays on an overlay, which is what a container's disk is.
func snapshotter(dir string) string {
	const overlay = 0x794c7630
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err == nil && disk.Type == overlay {
		return "native"
	}
	return "overlayfs"
}
