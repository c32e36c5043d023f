// SPDX-License-Identifier: Apache-2.0

// Package harness is what the end-to-end tests, the demo and the benchmarks
// share to drive a real chain on a playground: the installed API, repositories
// on the playground's Git server, images in its registry, and the real
// `sluice controller` as a process that can be killed.
//
//	playground (control plane, registry, Git server, Prometheus)
//	    ^            ^             ^
//	    |            |             |
//	 Install     PushImage     NewRepo, Repo.Commit
//	    ^
//	 StartController -> *Controller (Kill, Stop, CPU, Restart)
//
// It holds no assertions: callers wait on what they expect with [Eventually].
package harness

import (
	"os"
	"testing"
	"time"

	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/test/env"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Patience is how long tests wait for what has to happen. Only a test that fails spends it,
// so that it can be far longer than anything takes on a machine with little time to spare.
const Patience = 5 * time.Minute

// Playground is a running playground with a client of its API server.
type Playground struct {
	env.Playground
	Client client.WithWatch
}

// Require is [FromEnv] for a test, which is skipped without a playground.
func Require(tb testing.TB) *Playground {
	tb.Helper()
	p, err := connect(env.Require(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// FromEnv finds the running playground; the error says how to get one.
func FromEnv() (*Playground, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	found, err := env.Find(dir)
	if err != nil {
		return nil, err
	}
	return connect(found)
}

// connect makes a client of a playground's API server.
func connect(found env.Playground) (*Playground, error) {
	scheme, err := kinds.Scheme()
	if err != nil {
		return nil, err
	}
	found.REST.QPS = -1 // tests wait for the server, not for a client's limit
	c, err := client.NewWithWatch(found.REST, client.Options{Scheme: scheme})
	return &Playground{Playground: found, Client: c}, err
}
