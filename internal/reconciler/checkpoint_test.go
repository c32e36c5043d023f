// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// checkpointing writes what it is about to do before it does it.
type checkpointing struct {
	scripted
	meanwhile func() error
	got       *error // of the checkpoint
}

func (c checkpointing) Reconcile(ctx context.Context, k *kustomizev1.Kustomization) (Result, error) {
	k.Status.LastAttemptedRevision = "main@sha1:abc"
	*c.got = Checkpoint(ctx)
	if c.meanwhile != nil {
		if err := c.meanwhile(); err != nil {
			return Result{}, err
		}
	}
	return c.scripted.Reconcile(ctx, k)
}

func TestACheckpointIsWrittenBeforeTheReconcileGoesOn(t *testing.T) {
	var b *testEnv
	var failed error
	b = newTestEnv(t, checkpointing{got: &failed, meanwhile: func() error {
		k := b.get(t)
		if k.Status.LastAttemptedRevision != "main@sha1:abc" || len(k.Status.Conditions) > 0 || k.Status.ObservedGeneration != 0 {
			t.Errorf("the checkpoint says %+v", k.Status)
		}
		return nil
	}, scripted: scripted{func(k *kustomizev1.Kustomization) (Result, error) {
		k.Status.LastAppliedRevision = "main@sha1:abc"
		return Result{Reason: "Done"}, nil
	}}}, app(), nil)
	if _, err := b.reconcile(); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	if k := b.get(t); k.Status.LastAppliedRevision != "main@sha1:abc" || k.Status.ObservedGeneration != 3 || b.patches != 2 {
		t.Errorf("after %d patches: %+v", b.patches, k.Status)
	}
}

func TestWhatACheckpointSaidIsTakenBack(t *testing.T) {
	var failed error
	b := newTestEnv(t, checkpointing{got: &failed, scripted: scripted{func(k *kustomizev1.Kustomization) (Result, error) {
		k.Status.LastAttemptedRevision = ""
		return Result{Reason: "Done"}, nil
	}}}, app(), nil)
	if _, err := b.reconcile(); err != nil || failed != nil || b.get(t).Status.LastAttemptedRevision != "" {
		t.Errorf("%v, %v, %+v", err, failed, b.get(t).Status)
	}
}

func TestAnEventIsToldThoughTheCheckpointSaidAllOfTheStatus(t *testing.T) {
	var failed error
	b := newTestEnv(t, checkpointing{got: &failed, scripted: scripted{func(k *kustomizev1.Kustomization) (Result, error) {
		return Result{Reason: "Done", Events: []Event{{Type: "Normal", Reason: "Did", Message: "it"}}}, nil
	}}}, app(), nil)
	for range 2 { // the second run has the same conditions, and nothing to write at its end
		if _, err := b.reconcile(); err != nil {
			t.Fatal(err)
		}
		k := b.get(t)
		k.Status.LastAttemptedRevision = ""
		if err := b.client.Status().Update(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	if len(*b.events) != 2 {
		t.Errorf("events %+v", *b.events)
	}
}

func TestAReconcileWhoseCheckpointFailsSaysNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		meanwhile func(client.Client) error
		wantAfter bool
	}{
		"somebody else wrote the status: it is looked at again": {meanwhile: func(c client.Client) error {
			k := app()
			if err := c.Get(context.Background(), client.ObjectKeyFromObject(k), k); err != nil {
				return err
			}
			k.Status.LastAppliedRevision = "theirs"
			return c.Status().Update(context.Background(), k)
		}, wantAfter: true},
		"the object is gone": {meanwhile: func(c client.Client) error { return c.Delete(context.Background(), app()) }},
	} {
		t.Run(name, func(t *testing.T) {
			var failed error
			b := newTestEnv(t, checkpointing{got: &failed, scripted: scripted{func(*kustomizev1.Kustomization) (Result, error) {
				return Result{Reason: "Done"}, errors.New("could not be written")
			}}}, app(), func(c client.Client) {
				if err := tc.meanwhile(c); err != nil {
					t.Error(err)
				}
			})
			result, err := b.reconcile()
			if err != nil || (result.RequeueAfter > 0) != tc.wantAfter || failed == nil || len(*b.events) > 0 {
				t.Errorf("Reconcile = %+v, %v; checkpoint %v; events %v", result, err, failed, *b.events)
			}
		})
	}
}

func TestACheckpointOutsideOfAReconcileIsAnError(t *testing.T) {
	if err := Checkpoint(t.Context()); !errors.Is(err, errNoReconcile) {
		t.Error(err)
	}
}
