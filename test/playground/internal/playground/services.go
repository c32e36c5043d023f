// SPDX-License-Identifier: Apache-2.0

package playground

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/sluice-cd/sluice/test/playground/internal/cluster"
)

// portNames are what a port is chosen for.
var portNames = []string{
	"etcd", "etcd-peer", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok",
	"registry", "git", "git-ssh", "prometheus",
	"kubelet", "kubelet-health", "kube-proxy-health", "kube-proxy-metrics",
}

// gitUser is who may read and write every repository.
const gitUser = "sluice"

// services lists what runs, in an order in which each comes after its needs.
func (p *Playground) services() ([]service, error) {
	api, err := p.layout().API()
	if err != nil {
		return nil, fmt.Errorf("reading credentials: %w", err)
	}
	services := append(p.controlPlane(api), p.registry(), p.git(), p.gitSSH(), p.prometheus())
	switch p.state.Node {
	case Simulated:
		services = append(services, p.kwok())
	case Real:
		services = append(services, p.realNode()...)
	}
	return services, nil
}

func (p *Playground) controlPlane(api *cluster.API) []service {
	l, kube := p.layout(), p.programs.kube
	run := func(args []string) []string { return append([]string{kube}, args...) }
	return []service{
		{
			name: "etcd", args: run(l.Etcd()), port: l.Ports.Etcd,
			ready: answers("http://" + address(l.Ports.Etcd) + "/readyz"),
		},
		{
			name: "kube-apiserver", args: run(l.APIServer()), port: l.Ports.APIServer, needs: []string{"etcd"},
			ready: func(ctx context.Context) error { return api.Get(ctx, "/readyz", nil) },
		},
		{
			name: "kube-controller-manager", args: run(l.ControllerManager()), port: l.Ports.ControllerManager,
			needs: []string{"kube-apiserver"},
			ready: answers("https://" + address(l.Ports.ControllerManager) + "/healthz"),
		},
		{
			name: "kube-scheduler", args: run(l.Scheduler()), port: l.Ports.Scheduler,
			needs: []string{"kube-apiserver"},
			ready: answers("https://" + address(l.Ports.Scheduler) + "/healthz"),
		},
	}
}

func (p *Playground) kwok() service {
	l := p.layout()
	return service{
		name: "kwok", args: append([]string{p.programs.kwok}, l.Kwok()...), port: l.Ports.Kwok,
		needs: []string{"kube-apiserver"},
		ready: answers("http://" + address(l.Ports.Kwok) + "/healthz"),
	}
}

func (p *Playground) registry() service {
	at := address(p.state.Ports["registry"])
	return service{
		name: "registry", port: p.state.Ports["registry"],
		args:  []string{p.self, "serve", "registry", "--address", at, "--root", p.registryDir()},
		ready: answers("http://" + at + "/v2/"),
	}
}

func (p *Playground) git() service {
	at := address(p.state.Ports["git"])
	return service{
		name: "git", port: p.state.Ports["git"],
		args:  []string{p.self, "serve", "git", "--address", at, "--root", p.gitDir(), "--username", gitUser},
		env:   []string{"PLAYGROUND_GIT_PASSWORD=" + p.state.Password},
		ready: answers("http://" + gitUser + ":" + p.state.Password + "@" + at + "/"),
	}
}

func (p *Playground) gitSSH() service {
	at := address(p.state.Ports["git-ssh"])
	return service{
		name: "git-ssh", port: p.state.Ports["git-ssh"],
		args: []string{
			p.self, "serve", "git-ssh", "--address", at, "--root", p.gitDir(),
			"--host-key", p.sshKey("host"), "--client-key", p.sshKey("client"),
		},
		ready: greets(at, "SSH-2.0"),
	}
}

func (p *Playground) sshKey(whose string) string {
	return filepath.Join(p.dir, "pki", "ssh-"+whose+".key")
}

func (p *Playground) prometheus() service {
	at := address(p.state.Ports["prometheus"])
	return service{
		name: "prometheus", port: p.state.Ports["prometheus"],
		args: []string{
			p.programs.prometheus,
			"--config.file=" + filepath.Join(p.dir, "config", "prometheus.yml"),
			"--storage.tsdb.path=" + filepath.Join(p.dir, "data", "prometheus"),
			"--storage.tsdb.retention.time=1d",
			"--web.listen-address=" + at,
			"--web.enable-lifecycle", // POST /-/reload after an edit of the configuration
			"--log.level=warn",
		},
		ready: answers("http://" + at + "/-/ready"),
	}
}

func (p *Playground) registryDir() string { return filepath.Join(p.dir, "data", "registry") }

func (p *Playground) gitDir() string { return filepath.Join(p.dir, "data", "git") }
