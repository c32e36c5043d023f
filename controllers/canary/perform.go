// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"errors"
	"fmt"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/canary/workload"
)

// performer carries out the actions of one decision.
type performer struct {
	workloads *workload.Workloads
	router    router.Router
	// routed is the canary as its router is to see it.
	routed *flaggerv1.Canary
	// notify calls webhooks whose answers decide nothing.
	notify func(flaggerv1.HookType)
}

// perform carries out the actions in order. All are absolute, so that the first
// error ends it and the next reconcile repeats it. But whatever else fails, users are
// taken off a canary now.
func (p performer) perform(ctx context.Context, actions []canary.Action) error {
	var failed error
	for _, action := range actions {
		if to, ok := action.(canary.SetWeights); failed != nil && (!ok || to.Canary > 0) {
			continue
		}
		err := p.performOne(ctx, action)
		if err != nil && (failed == nil || failed.Error() != err.Error()) { // two actions may lack the same
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

func (p performer) performOne(ctx context.Context, action canary.Action) error {
	switch a := action.(type) {
	case canary.EnsureServices:
		return p.workloads.EnsureServices(ctx)
	case canary.EnsureApex:
		return p.workloads.EnsureApex(ctx)
	case canary.EnsureRoute:
		return p.router.Reconcile(ctx, p.routed)
	case canary.SetWeights:
		return p.router.SetWeights(ctx, p.routed, a.Weights)
	case canary.TakeOff:
		return p.router.TakeOff(ctx, p.routed)
	case canary.Snapshot:
		return p.workloads.Save(ctx, a.Revision)
	case canary.SetPrimary:
		return p.workloads.SetPrimary(ctx, a.Revision)
	case canary.StartTarget:
		return p.workloads.StartTarget(ctx)
	case canary.StopTarget:
		return p.workloads.StopTarget(ctx)
	case canary.EnsureScaler:
		return p.workloads.EnsureScaler(ctx)
	case canary.Prune:
		return p.workloads.Prune(ctx, a.Keep)
	case canary.Notify:
		p.notify(a.Hook)
		return nil
	default:
		return fmt.Errorf("performing %T: unknown action", action)
	}
}
