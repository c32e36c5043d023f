// SPDX-License-Identifier: Apache-2.0

// Package playground runs everything that Sluice meets in production, small
// and on one machine: a Kubernetes control plane, nodes, an image registry, a
// Git server and Prometheus.
//
//	up      build what is missing -> choose ports -> write credentials and
//	        configuration -> start each service when what it needs is ready
//	        -> nodes ready -> write the env file
//	down    end every process -> remove the folder
//
// All of one playground is in one folder, except for the built programs, which
// playgrounds share. Its services are processes of their own; the launcher
// does not stay. What it must know the next time (ports, process identities)
// is in state.json, so up can be repeated: it leaves alone what is healthy and
// starts again what died.
package playground

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-cd/sluice/test/playground/internal/cluster"
	"github.com/sluice-cd/sluice/test/playground/internal/program"
	"github.com/sluice-cd/sluice/test/playground/internal/realnode"
)

// Node is the kind of nodes that a playground has.
type Node string

// The kinds of nodes.
const (
	Simulated Node = "simulated" // kwok plays them: pods become Ready and run nothing
	Real      Node = "real"      // containerd, kubelet and kube-proxy; Linux, as root
	None      Node = "none"      // API only: pods stay Pending
)

// ParseNode reads what the user asked for.
func ParseNode(name string) (Node, error) {
	switch n := Node(name); n {
	case Simulated, Real, None:
		return n, nil
	}
	return "", fmt.Errorf("%q is no kind of node: choose simulated, real or none", name)
}

// Playground is one folder, and what runs for it.
type Playground struct {
	dir      string // absolute
	self     string // path of the launcher, which also serves registry and Git
	cache    *program.Cache
	progress *Progress
	state    *state
	programs programs
}

// programs are the paths of what was built.
type programs struct {
	kube, kwok, prometheus, node, pause string
}

// New prepares to work on the playground in dir.
func New(dir string, cache *program.Cache, progress *Progress) (*Playground, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the launcher: %w", err)
	}
	return &Playground{dir: dir, self: self, cache: cache, progress: progress}, nil
}

// Build makes sure that every program for this kind of node is in the cache.
func (p *Playground) Build(ctx context.Context, node Node) error {
	type target struct {
		program program.Program
		path    *string
	}
	targets := []target{{program.Kube, &p.programs.kube}, {program.Prometheus, &p.programs.prometheus}}
	switch node {
	case Simulated:
		targets = append(targets, target{program.Kwok, &p.programs.kwok})
	case Real:
		if err := realnode.Check(); err != nil { // before minutes of building
			return err
		}
		targets = append(targets, target{program.Node, &p.programs.node}, target{program.Pause, &p.programs.pause})
	}
	for _, t := range targets {
		var err error
		if *t.path, err = p.cache.Ensure(ctx, t.program); err != nil {
			return err
		}
	}
	return nil
}

// Up returns when all is ready.
func (p *Playground) Up(ctx context.Context, node Node) error {
	if err := p.Build(ctx, node); err != nil {
		return err
	}
	unlock, err := lock(p.dir)
	if err != nil {
		return err
	}
	defer unlock()
	started := time.Now()
	if err := p.prepare(ctx, node); err != nil {
		return fmt.Errorf("preparing %s: %w", p.dir, err)
	}
	services, err := p.services()
	if err != nil {
		return err
	}
	changed, err := p.boot(ctx, services)
	if err != nil {
		return err
	}
	if err := p.populate(ctx); err != nil {
		return err
	}
	if err := p.writeEnv(); err != nil {
		return fmt.Errorf("writing env: %w", err)
	}
	what := "is ready after " + time.Since(started).Round(100*time.Millisecond).String()
	if !changed {
		what = "is already up and healthy"
	}
	fmt.Fprintf(p.progress, "playground %s %s; to use it: . %s\n", p.dir, what, p.envFile())
	return nil
}

// prepare makes or finds the folder with its state, ports and files.
func (p *Playground) prepare(ctx context.Context, node Node) error {
	var err error
	p.state, err = readState(p.dir)
	switch {
	case errors.Is(err, errNone):
		p.state = newState(p.dir, node)
	case err != nil:
		return err
	case p.state.Node != node:
		return fmt.Errorf("it is there with %s nodes: run \"down\" before \"up --node %s\"", p.state.Node, node)
	}
	if err := makeFolders(p.dir, "logs", "config", "data", "bin", "data/registry", "data/git", "data/prometheus", "prometheus.d"); err != nil {
		return err
	}
	if err := choosePorts(p.state.Ports, portNames...); err != nil {
		return err
	}
	if err := p.state.save(); err != nil {
		return err
	}
	if err := p.layout().WriteCredentials(time.Now()); err != nil {
		return fmt.Errorf("writing credentials: %w", err)
	}
	if err := p.writeConfig(); err != nil {
		return fmt.Errorf("writing configuration: %w", err)
	}
	if node == Real {
		return p.prepareHost(ctx)
	}
	return nil
}

// populate waits until the cluster can run pods.
func (p *Playground) populate(ctx context.Context) error {
	api, err := p.layout().API()
	if err != nil {
		return err
	}
	if err := await(ctx, startTimeout, api.Usable, nil); err != nil {
		return fmt.Errorf("the controller manager is slow: %w", err)
	}
	nodes := cluster.SimulatedNodes
	switch p.state.Node {
	case None:
		return nil
	case Simulated:
		err = api.CreateSimulatedNodes(ctx)
	case Real:
		nodes = []string{realnode.Name}
		err = api.PublishAPIServer(ctx, p.host().Gateway(), p.state.Ports["kube-apiserver"])
	}
	if err != nil {
		return err
	}
	ready := func(ctx context.Context) error { return api.NodesReady(ctx, nodes...) }
	if err := await(ctx, startTimeout, ready, nil); err != nil {
		return fmt.Errorf("nodes do not become ready: %w", err)
	}
	return nil
}

func (p *Playground) layout() cluster.Layout {
	port := p.state.Ports
	return cluster.Layout{Dir: p.dir, Ports: cluster.Ports{
		Etcd: port["etcd"], EtcdPeer: port["etcd-peer"], APIServer: port["kube-apiserver"],
		ControllerManager: port["kube-controller-manager"], Scheduler: port["kube-scheduler"], Kwok: port["kwok"],
	}}
}
