// SPDX-License-Identifier: Apache-2.0

package playground

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-cd/sluice/test/playground/internal/cluster"
	"github.com/sluice-cd/sluice/test/playground/internal/gitserver"
)

// prometheusConfig scrapes itself and whatever files in the targets folder
// name, once a second: a canary's analysis in a test lasts seconds.
const prometheusConfig = `global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
scrape_configs:
- job_name: playground
  file_sd_configs:
  - files: [%q, %q, %q]
    refresh_interval: 1s
`

func (p *Playground) writeConfig() error {
	targets := p.targetsDir()
	prometheus := fmt.Sprintf(prometheusConfig,
		filepath.Join(targets, "*.json"), filepath.Join(targets, "*.yaml"), filepath.Join(targets, "*.yml"))
	return errors.Join(
		os.WriteFile(filepath.Join(p.dir, "config", "prometheus.yml"), []byte(prometheus), 0o644),
		os.WriteFile(filepath.Join(p.dir, "config", "kwok.yaml"), cluster.Stages, 0o644),
		p.linkKubectl(),
		gitserver.WriteKeys(p.sshKey("host"), p.sshKey("client")),
		gitserver.WriteKnownHosts(p.knownHosts(), p.sshKey("host"), address(p.state.Ports["git-ssh"])),
	)
}

func (p *Playground) knownHosts() string { return filepath.Join(p.dir, "pki", "known_hosts") }

// linkKubectl makes a kubectl of the kube binary, which looks at its name.
func (p *Playground) linkKubectl() error {
	if err := os.Remove(p.kubectl()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(p.programs.kube, p.kubectl())
}

func (p *Playground) targetsDir() string { return filepath.Join(p.dir, "prometheus.d") }

func (p *Playground) kubectl() string { return filepath.Join(p.dir, "bin", "kubectl") }

func (p *Playground) envFile() string { return filepath.Join(p.dir, "env") }

// writeEnv writes the contract that tests, the demo and benchmarks share. It
// comes last: that the file is there says that all is ready.
func (p *Playground) writeEnv() error {
	port := p.state.Ports
	vars := [][2]string{
		{"KUBECONFIG", p.layout().Kubeconfig()},
		{"KUBECACHEDIR", filepath.Join(p.dir, "data", "kubectl")}, // or kubectl leaves its cache in the user's home
		{"SLUICE_KUBECTL", p.kubectl()},
		{"SLUICE_NODE", string(p.state.Node)},
		{"SLUICE_REGISTRY", address(port["registry"])},
		{"SLUICE_REGISTRY_DIR", p.registryDir()},
		{"SLUICE_GIT_URL", "http://" + address(port["git"])},
		{"SLUICE_GIT_ROOT", p.gitDir()},
		{"SLUICE_GIT_USERNAME", gitUser},
		{"SLUICE_GIT_PASSWORD", p.state.Password},
		{"SLUICE_GIT_SSH_URL", "ssh://git@" + address(port["git-ssh"])},
		{"SLUICE_GIT_SSH_KEY", p.sshKey("client")},
		{"SLUICE_GIT_SSH_KNOWN_HOSTS", p.knownHosts()},
		{"SLUICE_PROMETHEUS", "http://" + address(port["prometheus"])},
		{"SLUICE_PROMETHEUS_TARGETS", p.targetsDir()},
		{"SLUICE_PLAYGROUND", p.dir},
	}
	var text strings.Builder
	for _, v := range vars {
		fmt.Fprintf(&text, "export %s=%s\n", v[0], quote(v[1]))
	}
	tmp := p.envFile() + ".tmp"
	if err := os.WriteFile(tmp, []byte(text.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, p.envFile())
}

// quote makes one word of s for any POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
