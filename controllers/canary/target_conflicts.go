// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// targetConflicts decide which of several canaries releases a target. A target that is released in
// place has no primary whose owner would tell.
type targetConflicts struct {
	cached client.Reader
}

// check refuses a canary whose target is released by another one of its namespace already,
// until that is gone or has another target.
func (t targetConflicts) check(ctx context.Context, c *flaggerv1.Canary) error {
	others, err := t.others(ctx, c)
	if err != nil {
		return err
	}
	for _, other := range others {
		if !comesBefore(other, c) {
			continue
		}
		return reconciler.Waiting(reconcile.TerminalError(fmt.Errorf(
			"spec.targetRef: %s %s/%s is released by Canary %s already, and two cannot release the same; delete one of them, or name another target",
			c.Spec.TargetRef.Kind, c.Namespace, c.Spec.TargetRef.Name, other.Name)), takenDelay)
	}
	return nil
}

// others are the other canaries of the same target. They are those of the cache: nobody may change them.
func (t targetConflicts) others(ctx context.Context, c *flaggerv1.Canary) (others []*flaggerv1.Canary, err error) {
	all := &flaggerv1.CanaryList{}
	if err := t.cached.List(ctx, all, client.InNamespace(c.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing canaries of namespace %s: %w", c.Namespace, err)
	}
	for i := range all.Items {
		other := &all.Items[i]
		if other.Name != c.Name && other.Spec.TargetRef.Identity() == c.Spec.TargetRef.Identity() {
			others = append(others, other)
		}
	}
	return others, nil
}

// givenUp wakes those that wait for the target that a canary had; who cannot be found
// looks again by itself.
func (t targetConflicts) givenUp(ctx context.Context, c *flaggerv1.Canary, wake func(types.NamespacedName)) {
	others, _ := t.others(ctx, c)
	for _, other := range others {
		wake(client.ObjectKeyFromObject(other))
	}
}

// comesBefore reports whether a canary has the target that another one names, too: it has
// begun to release it, or is older where none or both have. What owns a primary has begun.
func comesBefore(other, c *flaggerv1.Canary) bool {
	if theirs, mine := begun(other), begun(c); theirs != mine {
		return theirs > mine
	}
	if at, before := c.CreationTimestamp, other.CreationTimestamp; !at.Equal(&before) {
		return before.Before(&at)
	}
	return other.Name < c.Name
}

// begun is how certain it is that a canary has ever released the target that its spec names: 2 if
// its status says so, 1 if it says that some target was released and not which, as Flagger's does, else 0.
func begun(c *flaggerv1.Canary) int {
	switch {
	case isNew(c):
		return 0
	case c.Status.Target == c.Spec.TargetRef.Identity():
		return 2
	case c.Status.Target == "":
		return 1
	default:
		return 0
	}
}
