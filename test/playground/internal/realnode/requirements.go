// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// requirement is a program that must be installed, and the Debian package that
// has it.
type requirement struct{ program, debian string }

var requirements = []requirement{
	{"containerd", "containerd"},
	{"ctr", "containerd"},
	{"containerd-shim-runc-v2", "containerd"},
	{"runc", "runc"},
	{"iptables", "iptables"},
	{"iptables-save", "iptables"},
	{"iptables-restore", "iptables"},
}

// cniFolders is where distributions put CNI plugins: Debian, then everybody
// else.
var cniFolders = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

// Check says why this machine cannot be a node, as completely as possible.
func Check() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("a real node needs Linux; this is %s: use --node simulated", runtime.GOOS)
	}
	var problems []error
	if os.Geteuid() != 0 {
		problems = append(problems, errors.New("a real node needs root"))
	}
	if missing := missing(); len(missing) > 0 {
		problems = append(problems, fmt.Errorf("a real node needs packages that are not installed: %s\n"+
			"on Debian: apt-get install --no-install-recommends %[1]s", strings.Join(missing, " ")))
	}
	return errors.Join(problems...)
}

func missing() []string {
	var packages []string
	for _, r := range requirements {
		if _, err := exec.LookPath(r.program); err != nil {
			packages = append(packages, r.debian)
		}
	}
	if cniPlugins() == "" {
		packages = append(packages, "containernetworking-plugins")
	}
	slices.Sort(packages)
	return slices.Compact(packages)
}

// cniPlugins is the folder that has the plugins, or empty.
func cniPlugins() string {
	for _, dir := range cniFolders {
		if _, err := os.Stat(filepath.Join(dir, "bridge")); err == nil {
			return dir
		}
	}
	return ""
}
