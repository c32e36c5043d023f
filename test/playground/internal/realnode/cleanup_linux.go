// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Cleanup removes what the node left outside the playground's folder, and
// every mount inside it. The node's programs must have ended before.
func (n *Node) Cleanup(ctx context.Context) error {
	leftovers := n.leftovers()
	if err := n.killContainers(ctx); err != nil {
		return err
	}
	errs := []error{n.unmount(), removeCgroups(), removeRules(ctx), removeBridge(n.Bridge()), n.restoreSysctls(), n.removeLogLinks()}
	for _, path := range leftovers {
		errs = append(errs, os.RemoveAll(path))
	}
	for _, dir := range shared {
		_ = syscall.Rmdir(dir) // fails, as it should, when somebody else has something in it
	}
	return errors.Join(errs...)
}

// shared are folders that are not ours alone, the innermost first: they go
// only if they are empty.
var shared = []string{
	"/run/containerd/runc/k8s.io", "/run/containerd/runc", "/run/containerd/s", "/run/containerd",
	"/var/lib/kubelet/device-plugins", "/var/lib/kubelet",
	"/var/lib/cni/results", "/var/lib/cni", "/var/log/containers",
}

// killContainers ends containers and their shims. A shim that sees its
// container die may do anything, so shims go first.
func (n *Node) killContainers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		pids := append(n.shims(), containers()...)
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // gone already, or found again in the next round
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("processes %v do not end", pids)
		case <-tick.C:
		}
	}
}

// shims are the processes that hold the containers of our containerd.
func (n *Node) shims() []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the only error is a bad pattern
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		args := strings.Split(string(line), "\x00")
		if !strings.Contains(args[0], "containerd-shim") || !slices.Contains(args, n.Socket()) {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(file, "/")[2]); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// podCgroups are the roots of kubelet's cgroups: one in version 2, one for
// each controller in version 1.
func podCgroups() []string {
	roots := []string{"/sys/fs/cgroup/kubepods"}
	more, _ := filepath.Glob("/sys/fs/cgroup/*/kubepods") // the only error is a bad pattern
	return append(roots, more...)
}

// containers are all processes in pods.
func containers() []int {
	var pids []int
	for _, root := range podCgroups() {
		_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.Name() != "cgroup.procs" {
				return nil // a cgroup may vanish while we look
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return nil
			}
			for field := range bytes.FieldsSeq(data) {
				if pid, err := strconv.Atoi(string(field)); err == nil {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

// removeCgroups removes the innermost first; only empty ones can be.
func removeCgroups() error {
	var dirs []string
	for _, root := range podCgroups() {
		_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
	}
	slices.Reverse(dirs)
	var errs []error
	for _, dir := range dirs {
		errs = append(errs, ignoreMissing(syscall.Rmdir(dir)))
	}
	return errors.Join(errs...)
}

// unmount detaches every mount below the playground's folder, the innermost
// first.
func (n *Node) unmount() error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("reading mounts: %w", err)
	}
	var errs []error
	for _, point := range slices.Backward(mountsBelow(string(table), n.Dir)) {
		if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) {
			errs = append(errs, fmt.Errorf("unmounting %s: %w", point, err))
		}
	}
	return errors.Join(errs...)
}

// leftovers are the files of our containers and programs in folders whose
// place nobody can configure: the sockets of shims, the state of runc, what
// CNI remembers, and the socket for device plugins. The folders that containerd
// keeps for its tasks tell the names of the containers.
func (n *Node) leftovers() []string {
	found := []string{n.Socket(), n.Socket() + ".ttrpc", "/var/lib/kubelet/device-plugins/kubelet.sock"}
	tasks, _ := filepath.Glob(filepath.Join(n.Dir, "run/containerd/io.containerd.runtime.v2.task/k8s.io/*")) // the only error is a bad pattern
	for _, task := range tasks {
		container := filepath.Base(task)
		results, _ := filepath.Glob("/var/lib/cni/results/*-" + container + "-*")
		found = append(append(found, results...), "/run/containerd/runc/k8s.io/"+container)
		if address, err := os.ReadFile(filepath.Join(task, "address")); err == nil {
			found = append(found, strings.TrimPrefix(strings.TrimSpace(string(address)), "unix://"))
		}
	}
	return found
}

// removeLogLinks removes kubelet's links to the logs of our containers. Their
// folder is not configurable.
func (n *Node) removeLogLinks() error {
	links, err := filepath.Glob("/var/log/containers/*.log")
	links = slices.DeleteFunc(links, func(link string) bool {
		target, err := os.Readlink(link)
		return err != nil || !strings.HasPrefix(target, n.Dir+"/")
	})
	return errors.Join(err, removeAll(links))
}

func removeAll(files []string) error {
	var errs []error
	for _, file := range files {
		errs = append(errs, ignoreMissing(os.Remove(file)))
	}
	return errors.Join(errs...)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
