// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/test/harness"
)

// engine is what fetches and applies under measurement: Sluice, or Flux's own source-controller and
// kustomize-controller, unmodified. Requests to the API server are counted in front of it.
type engine struct {
	processes []*harness.Process
	count     *counter
}

// engineCase is an engine that serves one namespace.
type engineCase struct {
	namespace string
	flux      bool
}

// ofFlux is a case of the same name for the other engine.
func (c engineCase) ofFlux() engineCase {
	return engineCase{namespace: c.namespace + "-flux", flux: true}
}

// start starts the engine with its data below dir, in a namespace that it makes. Both get the same
// number of workers.
func (c engineCase) start(ctx context.Context, p *harness.Playground, dir string) (*engine, error) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: c.namespace}}
	if err := p.Client.Create(ctx, ns); err != nil {
		return nil, err
	}
	count, through, err := countRequests(ctx, p, dir)
	if err != nil {
		return nil, err
	}
	e := &engine{count: count}
	if !c.flux {
		controller, err := through.StartController(ctx, dir, "--concurrent=20", "--watch-namespace", c.namespace)
		if controller != nil {
			e.processes = append(e.processes, controller.Process)
		}
		return e, err
	}
	if _, err := p.InstallFlux(ctx, "source-controller", "kustomize-controller"); err != nil {
		return nil, err
	}
	for name, workers := range map[string]string{"source-controller": "--concurrent=10", "kustomize-controller": "--concurrent=20"} {
		process, err := through.StartFlux(ctx, name, c.namespace, dir, "--log-level=info", workers)
		if err != nil {
			e.stop()
			return nil, err
		}
		e.processes = append(e.processes, process)
	}
	return e, nil
}

func (e *engine) stop() {
	for _, process := range e.processes {
		process.Stop()
	}
}

// read is what the engine has used so far.
func (e *engine) read() (reading, error) {
	r := reading{requests: e.count.requests.Load(), writes: e.count.writes.Load(), watches: e.count.watches.Load()}
	for _, process := range e.processes {
		cpu, err := process.CPU()
		if err != nil {
			return r, err
		}
		r.cpu += cpu
	}
	r.at = time.Now()
	return r, nil
}

// memory is what the engine has in memory.
func (e *engine) memory() (sum harness.Memory, err error) {
	for _, process := range e.processes {
		m, err := process.Memory()
		if err != nil {
			return sum, err
		}
		sum.Resident, sum.Own, sum.Peak = sum.Resident+m.Resident, sum.Own+m.Own, sum.Peak+m.Peak
	}
	return sum, nil
}

// measure is what the engine uses from the begin of a step until what it leads to is there, or it is late.
func (e *engine) measure(ctx context.Context, step, until func(context.Context) error) (usage, error) {
	before, err := e.read()
	if err != nil {
		return usage{}, err
	}
	if err := step(ctx); err != nil {
		return usage{}, err
	}
	return e.until(ctx, before, until)
}

// until is what the engine has used since a reading when something is there, or late.
func (e *engine) until(ctx context.Context, before reading, until func(context.Context) error) (usage, error) {
	failed := until(ctx)
	after, err := e.read()
	used := after.since(before)
	if late := (*lateError)(nil); errors.As(failed, &late) {
		used.some = late.done
	}
	return used, cmp.Or(failed, err)
}

// explain adds what the engine logged last.
func (e *engine) explain(err error) error {
	for _, process := range e.processes {
		err = fmt.Errorf("%w\nlast lines of %s:\n%s", err, process.Log(), process.Tail(3000))
	}
	return err
}
