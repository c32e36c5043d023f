// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-cd/sluice/canary/object"
)

// Workloads are the two copies of a canary's workload as they were observed. The
// methods act on what was observed: what they promote is what the caller judged, even
// if the target has changed since.
type Workloads struct {
	Copies
	// Edited means that the canary's spec may have been edited since [Workloads.EnsureScaler].
	Edited bool

	scope     *scope
	snapshots snapshots
	adapter   adapter
}

// EnsureServices makes the Services of the primary and of the canary. A worker
// has none.
func (w *Workloads) EnsureServices(ctx context.Context) error {
	if a, ok := w.adapter.(servicesEnsurer); ok && w.scope.canary.HasService() {
		return a.ensureServices(ctx)
	}
	return nil
}

// EnsureApex makes the Service that users call select the primary. If it was
// there before, it keeps everything else.
func (w *Workloads) EnsureApex(ctx context.Context) error {
	if a, ok := w.adapter.(apexEnsurer); ok && w.scope.canary.HasService() {
		return a.ensureApex(ctx)
	}
	return nil
}

// RevertApex makes a Service that was there before the canary select the target
// again. One that the canary made goes with it.
func (w *Workloads) RevertApex(ctx context.Context) error {
	if a, ok := w.adapter.(apexReverter); ok && w.scope.canary.HasService() {
		if err := a.revertApex(ctx); err != nil {
			return err
		}
	}
	return restoreServices(ctx, w.scope)
}

// RestoreServices makes all Services that were there before the canary what they were,
// whatever became of the target.
func (w *Workloads) RestoreServices(ctx context.Context) error { return restoreServices(ctx, w.scope) }

// Save keeps the revision that was observed for later.
func (w *Workloads) Save(ctx context.Context, digest string) error {
	if _, kept := w.adapter.(revisionSource); kept || w.Saved[digest] {
		return nil
	}
	if w.Revision == nil || w.Revision.Digest != digest {
		return fmt.Errorf("saving revision %s of %s: it is not the target's", digest, w.scope.canary.Name)
	}
	if err := w.snapshots.save(ctx, w.Revision); err != nil {
		return err
	}
	w.Saved[digest] = true
	w.scope.entry.noteSnapshots(w.Saved)
	return nil
}

// Prune forgets all snapshots but those of the given revisions.
func (w *Workloads) Prune(ctx context.Context, keep []string) error {
	if _, kept := w.adapter.(revisionSource); kept {
		return nil
	}
	return w.snapshots.prune(ctx, keep)
}

// SetPrimary makes the primary run exactly the given revision: the one that was
// observed, or else its snapshot.
func (w *Workloads) SetPrimary(ctx context.Context, digest string) error {
	r, err := w.revision(ctx, digest)
	if err != nil {
		return err
	}
	return w.adapter.promote(ctx, r)
}

func (w *Workloads) revision(ctx context.Context, digest string) (*Revision, error) {
	if source, ok := w.adapter.(revisionSource); ok {
		return source.revision(digest)
	}
	if w.Revision != nil && w.Revision.Digest == digest {
		return w.Revision, nil
	}
	return w.snapshots.load(ctx, digest)
}

// StartTarget gives the target pods, if it has none.
func (w *Workloads) StartTarget(ctx context.Context) error {
	if a, ok := w.adapter.(starter); ok {
		return a.start(ctx)
	}
	return nil
}

// StopTarget takes the target's pods away.
func (w *Workloads) StopTarget(ctx context.Context) error {
	if a, ok := w.adapter.(stopper); ok {
		return a.stop(ctx)
	}
	return nil
}

// RevertTarget gives the target back what the canary took from it, and reports
// why it is not ready yet; empty is ready.
func (w *Workloads) RevertTarget(ctx context.Context) (string, error) {
	if a, ok := w.adapter.(reverter); ok {
		return a.revert(ctx)
	}
	return "", nil
}

// EnsureScaler keeps the primary's autoscaler in step with the owner's, and the
// owner's from scaling a target that was stopped. It writes only what differs. A
// copy that an earlier spec asked for goes.
func (w *Workloads) EnsureScaler(ctx context.Context) error {
	a, err := autoscalerOf(w.scope)
	if err != nil {
		return err
	}
	if w.Edited {
		if err := dropScalerCopies(ctx, w.scope, a); err != nil {
			return err
		}
		w.scope.entry.edited = false
	}
	if a == nil {
		return nil
	}
	return a.ensureCopy(ctx, w.Copies)
}

// Objects are the objects whose changes concern the canary: its workloads, Services,
// autoscalers, and the configuration that they read. They need not exist.
func (w *Workloads) Objects() []object.Ref {
	if w.adapter == nil {
		return nil
	}
	objects := w.adapter.objects()
	for _, config := range w.Configs {
		kind, name, _ := strings.Cut(config, "/")
		if kind == "secret" {
			objects = append(objects, w.scope.object(corev1.SchemeGroupVersion.WithKind(kindSecret), name))
		} else {
			objects = append(objects, w.scope.object(corev1.SchemeGroupVersion.WithKind(kindConfigMap), name))
		}
	}
	return objects
}
