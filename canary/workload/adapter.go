// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/object"
)

// Copies are how the two copies of a workload stand.
type Copies struct {
	Target, Primary canary.Workload
	// Revision is the target's; nil if there is no target.
	Revision *Revision
	// Configs are the keys of all configs that the target refers to, as in
	// status.trackedConfigs, whether they exist or not.
	Configs []string
	// Saved are the digests of the revisions that have a snapshot.
	Saved map[string]bool
	// PortRemark says that nothing listens where spec.service leads, "" if something
	// does, or might.
	PortRemark string

	names naming
	// containers are the target's.
	containers []corev1.Container
}

// adapter releases targets of one kind. It is made for one observation, and acts on
// what it has observed. What only some kinds need is in the interfaces below.
type adapter interface {
	// observe reads both copies. What was read before an error is in the result.
	observe(ctx context.Context) (Copies, error)
	// promote makes the primary run a revision for good.
	promote(ctx context.Context, r *Revision) error
	// objects are those that the copies consist of, and that may not exist yet.
	objects() []object.Ref
}

// The optional capabilities of adapters.
type (
	// starter gives the target pods.
	starter interface {
		start(ctx context.Context) error
	}
	// stopper takes the target's pods away.
	stopper interface {
		stop(ctx context.Context) error
	}
	// reverter gives the target back what the canary took from it, and says why it is
	// not ready yet; empty is ready.
	reverter interface {
		revert(ctx context.Context) (why string, err error)
	}
	// servicesEnsurer makes the Services of the primary and of the canary.
	servicesEnsurer interface {
		ensureServices(ctx context.Context) error
	}
	// apexEnsurer makes the Service that users call.
	apexEnsurer interface {
		ensureApex(ctx context.Context) error
	}
	// apexReverter makes the Service that users call lead to the target, if nothing
	// says what it was before the canary.
	apexReverter interface {
		revertApex(ctx context.Context) error
	}
	// revisionSource knows where somebody else keeps the revisions of a target, so that
	// there is no need for snapshots.
	revisionSource interface {
		revision(digest string) (*Revision, error)
	}
)

// adapters has every kind of targets, by kind, and by kind and group if the group is
// not Kubernetes' own.
var adapters = map[string]func(*scope, snapshots) adapter{
	"Deployment":  func(s *scope, kept snapshots) adapter { return newTwoCopies(s, kept, deployments) },
	"DaemonSet":   func(s *scope, kept snapshots) adapter { return newTwoCopies(s, kept, daemonSets) },
	"Service":     func(s *scope, kept snapshots) adapter { return &serviceAdapter{scope: s, snapshots: kept} },
	"StatefulSet": func(s *scope, _ snapshots) adapter { return &statefulSet{scope: s} },

	"Service." + knativeGroup: func(s *scope, _ snapshots) adapter { return &knative{scope: s} },
}

// adapterOf chooses the adapter of a target. As in Flagger, the group counts only where
// two kinds have the same name.
func adapterOf(target flaggerv1.LocalObjectReference) (func(*scope, snapshots) adapter, error) {
	name := target.Kind
	if gv, err := schema.ParseGroupVersion(target.APIVersion); err == nil && gv.Group == knativeGroup {
		name += "." + gv.Group
	}
	build, ok := adapters[name]
	if !ok {
		known := strings.Join(slices.Sorted(maps.Keys(adapters)), ", ")
		return nil, reconcile.TerminalError(fmt.Errorf("spec.targetRef: %s of %q is not served, only %s are",
			target.Kind, target.APIVersion, known))
	}
	return build, nil
}

// knativeGroup is the API group of Knative Services.
const knativeGroup = "serving.knative.dev"
