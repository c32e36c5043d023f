package playground

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	"github.com/sluice-cd/sluice/test/playground/internal/cluster"
)

// portNames are what a port is chosen for.
var portNames = []string{
	"etcd", "etcd-peer", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok",
	"registry", "git", "prometheus",
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
	services := append(p.controlPlane(api), p.registry(), p.git(), p.prometheus())
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

// prober does not check certificates: what it learns is only that somebody
// answers on the port, and their authority is the playground's own.
var prober = &http.Client{
	Timeout:   3 * time.Second,
	Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
}

// answers is ready when a GET of url is answered with anything but an error.
// Not found is no error: it is what a server says to a question that it
// understood.
func answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := prober.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode >= 400 && resp.StatusCode != http.StatusNotFound {
			return fmt.Errorf("%s answers %s", req.URL.Redacted(), resp.Status)
		}
		return nil
	}
}
