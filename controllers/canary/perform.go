package canary

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-cd/sluice/canary"
)

// perform carries out the actions in order. All are absolute, so that the first
// error ends it and the next reconcile repeats it. But whatever else fails, users are
// taken off a canary now.
func (r *Reconciler) perform(ctx context.Context, l *look, actions []canary.Action) error {
	var failed error
	for _, action := range actions {
		if to, ok := action.(canary.SetWeights); failed != nil && (!ok || to.Canary > 0) {
			continue
		}
		if n, ok := action.(canary.Notify); ok {
			r.teller.hooks.Notify(l.canary, n.Hook, l.next)
			continue
		}
		if err := l.perform(ctx, action); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

func (l *look) perform(ctx context.Context, action canary.Action) error {
	switch a := action.(type) {
	case canary.EnsureServices:
		return l.pair.EnsureServices(ctx)
	case canary.EnsureApex:
		return l.pair.EnsureApex(ctx)
	case canary.EnsureRoute:
		return l.router.Reconcile(ctx, l.routed)
	case canary.SetWeights:
		return l.router.SetWeights(ctx, l.routed, a.Weights)
	case canary.Snapshot:
		return l.pair.Save(ctx, a.Revision)
	case canary.SetPrimary:
		return l.pair.SetPrimary(ctx, a.Revision)
	case canary.StartTarget:
		return l.pair.StartTarget(ctx)
	case canary.StopTarget:
		return l.pair.StopTarget(ctx)
	case canary.EnsureScaler:
		return l.pair.EnsureScaler(ctx)
	case canary.Prune:
		return l.pair.Prune(ctx, a.Keep)
	default:
		return fmt.Errorf("performing %T: unknown action", action)
	}
}
