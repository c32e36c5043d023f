// SPDX-License-Identifier: Apache-2.0

// Package handover hands a fleet of canaries from Flagger to Sluice and back, and
// the other way round, with every phase in which a controller can be stopped among
// them.
//
//	bring (first controller) -> SIGKILL -> nobody -> second controller: settle, finish
//	                                                  -> SIGKILL -> first: nothing to do
//
// Both controllers are the real ones, Flagger unmodified, against a real API server
// and a real Prometheus; pods are simulated. Each canary is kept in its phase by
// what would keep it there in production: a gate that is closed, a pod that finds no
// node, a check that fails (fleet_test.go). All the while everything that users
// depend on is watched, route objects, Services and pods; afterwards every state
// that there ever was is looked at in the order in which the API server made them,
// by resource versions: were there users who nobody answered (users_test.go)?
package handover

import (
	"context"
	"flag"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-cd/sluice/test/env"
	"github.com/sluice-cd/sluice/test/harness"
)

// the is what both fleets share.
var the struct {
	*harness.Playground
	gates *gates
	nodes []string
}

func TestMain(m *testing.M) {
	flag.Parse()
	ctrllog.SetLogger(logr.Discard()) // warnings of the API server about what is applied
	env.Main(m, setup)
}

func setup(m *testing.M) (int, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var err error
	if the.Playground, err = harness.FromEnv(); err != nil {
		return 0, err
	}
	root, err := harness.Root()
	if err != nil {
		return 0, err
	}
	for _, crds := range []string{
		"canary/router/testdata/crds/istio.yaml",
		"canary/router/testdata/crds/knative.yaml",
		"test/integration/workload/testdata/keda.yaml",
	} {
		if err := the.ApplyFile(ctx, filepath.Join(root, crds)); err != nil {
			return 0, err
		}
	}
	if err := the.Install(ctx); err != nil { // which waits for all
		return 0, err
	}
	if the.nodes, err = nodeNames(ctx); err != nil {
		return 0, err
	}
	the.gates = newGates()
	defer the.gates.Close()
	return m.Run(), nil
}
