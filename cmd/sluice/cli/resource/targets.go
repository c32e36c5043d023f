// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/follow"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/internal/shorten"
	"github.com/sluice-cd/sluice/report"
)

// target is an object that a command is about.
type target struct {
	cmd    *cobra.Command
	client client.WithWatch
	kind   kind
	object *unstructured.Unstructured
	// requested is the request that was given with the last change, if one was; see requestReconcile.
	requested string
}

func (t *target) String() string {
	return fmt.Sprintf("%s %s/%s", t.kind.Kind, t.object.GetNamespace(), t.object.GetName())
}

// each does something to each of several objects.
func each(do func(*target) error) func([]*target) error {
	return func(all []*target) error {
		var failed []error
		for _, t := range all {
			failed = append(failed, do(t))
		}
		return errors.Join(failed...)
	}
}

// targets are the objects of a kind by their names. The error is about those that are not there.
func targets(cmd *cobra.Command, in *cluster.Cluster, c client.WithWatch, k kind, names []string) ([]*target, error) {
	var found []*target
	var failed []error
	for _, name := range names {
		t := &target{cmd: cmd, client: c, kind: k, object: k.object()}
		if err := in.Get(cmd.Context(), c, name, t.object); err != nil {
			failed = append(failed, err)
			continue
		}
		found = append(found, t)
	}
	return found, errors.Join(failed...)
}

// allTargets are all objects of a kind in the namespace.
func allTargets(cmd *cobra.Command, in *cluster.Cluster, c client.WithWatch, k kind) ([]*target, error) {
	namespace, err := in.Namespace()
	if err != nil {
		return nil, err
	}
	list := k.list()
	if err := cluster.List(cmd.Context(), c, list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, fmt.Errorf("there are no %s in namespace %s", k.plural, namespace)
	}
	var found []*target
	for i := range list.Items {
		found = append(found, &target{cmd: cmd, client: c, kind: k, object: &list.Items[i]})
	}
	return found, nil
}

// patch changes the object as it is by now.
func (t *target) patch(change func(*unstructured.Unstructured) error) error {
	before := t.object.DeepCopy()
	if err := change(t.object); err != nil {
		return err
	}
	if err := t.client.Patch(t.cmd.Context(), t.object, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("changing %s: %w", t, err)
	}
	return nil
}

func (t *target) suspend() error {
	err := t.patch(func(u *unstructured.Unstructured) error {
		return t.kind.suspend(u)
	})
	if err == nil {
		output.Note(t.cmd, "%s suspended", t)
	}
	return err
}

func (t *target) resume() error {
	err := t.patch(func(u *unstructured.Unstructured) error {
		t.kind.resume(u)
		if t.kind.isSuspendedByAnnotation() { // which makes no generation that the status could be about
			t.requestReconcile(u)
		}
		return nil
	})
	if err == nil {
		output.Note(t.cmd, "%s resumed", t)
	}
	return err
}

// awaitResumed waits as Flux does: until what was resumed is ready, or stalled.
func (t *target) awaitResumed(limit time.Duration) error {
	if t.kind.requests != answered {
		return nil // its status does not say when it was reconciled
	}
	generation := t.object.GetGeneration()
	var now report.Resource
	err := follow.Await(t.cmd, t.client, func() client.ObjectList { return t.kind.list() }, t.object, follow.Wait[*unstructured.Unstructured]{
		What: fmt.Sprintf("the reconcile of %s", t), Limit: limit,
		Timeout: fmt.Errorf("%s is not ready after %s", t, shorten.Duration(limit)),
		Until: func(u *unstructured.Unstructured) (bool, error) {
			observed, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
			now = report.OfResource(u)
			switch {
			case observed < generation && t.requested == "", t.requested != "" && !t.hasHandled(u):
				return false, nil
			case hasCondition(u, meta.StalledCondition):
				return false, fmt.Errorf("%s is not ready: %s: %s", t, now.Reason, now.Message)
			}
			return now.Ready == string(metav1.ConditionTrue) && !hasCondition(u, meta.ReconcilingCondition), nil
		},
	})
	switch {
	case err == nil:
		output.Note(t.cmd, "%s is ready: %s", t, now.Message)
	case now.Ready == string(metav1.ConditionFalse) && !strings.Contains(err.Error(), now.Message):
		err = fmt.Errorf("%w: %s: %s", err, now.Reason, now.Message)
	}
	return err
}

// requestReconcile asks for a reconcile, as `flux reconcile` does, and remembers what the answer will be.
func (t *target) requestReconcile(u *unstructured.Unstructured) {
	t.requested = time.Now().UTC().Format(time.RFC3339Nano)
	annotations := u.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[meta.ReconcileRequestAnnotation] = t.requested
	u.SetAnnotations(annotations)
}

// hasHandled reports whether the request was handled.
func (t *target) hasHandled(u *unstructured.Unstructured) bool {
	handled, _, _ := unstructured.NestedString(u.Object, "status", "lastHandledReconcileAt")
	return handled == t.requested
}

// hasCondition reports whether a condition of an object is True.
func hasCondition(u *unstructured.Unstructured, name string) bool {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(c any) bool {
		fields, _ := c.(map[string]any)
		return fields["type"] == name && fields["status"] == string(metav1.ConditionTrue)
	})
}

// reconcile asks for a reconcile, and waits for its end if the status says when that is.
func (t *target) reconcile(limit time.Duration) error {
	if report.OfResource(t.object).Suspended {
		return fmt.Errorf("%s is suspended: sluice resume %s %s -n %s", t,
			strings.ToLower(t.kind.Kind), t.object.GetName(), t.object.GetNamespace())
	}
	err := t.patch(func(u *unstructured.Unstructured) error {
		t.requestReconcile(u)
		return nil
	})
	switch {
	case err != nil:
		return err
	case t.kind.requests == obeyed:
		output.Note(t.cmd, "%s is asked to reconcile; its status does not say when it has, so nothing is awaited", t)
		return nil
	}
	var now report.Resource
	err = follow.Await(t.cmd, t.client, func() client.ObjectList { return t.kind.list() }, t.object, follow.Wait[*unstructured.Unstructured]{
		What: fmt.Sprintf("the reconcile of %s", t), Limit: limit,
		Timeout: fmt.Errorf("%s is not reconciled after %s: is its controller running?", t, shorten.Duration(limit)),
		Until: func(u *unstructured.Unstructured) (bool, error) {
			now = report.OfResource(u)
			return t.hasHandled(u) && now.Ready != string(metav1.ConditionUnknown), nil
		},
	})
	switch {
	case err != nil:
		return err
	case now.Ready != string(metav1.ConditionTrue):
		return fmt.Errorf("%s is not ready: %s: %s", t, now.Reason, now.Message)
	}
	output.Note(t.cmd, "%s is ready: %s", t, now.Message)
	return nil
}

// source has the source of a Kustomization reconciled.
func (t *target) source(limit time.Duration) error {
	if t.kind.Kind != kustomizev1.KustomizationKind {
		return fmt.Errorf("--with-source is for Kustomizations, and not for %s", t.kind.plural)
	}
	ref, _, _ := unstructured.NestedStringMap(t.object.Object, "spec", "sourceRef")
	k, err := named(ref["kind"])
	if err != nil {
		return err
	}
	if k.requests == ignored {
		return fmt.Errorf("--with-source: nobody reconciles %s %s on request", k.Kind, ref["name"])
	}
	key := client.ObjectKey{Namespace: ref["namespace"], Name: ref["name"]}
	if key.Namespace == "" {
		key.Namespace = t.object.GetNamespace()
	}
	of := &target{cmd: t.cmd, client: t.client, kind: k, object: k.object()}
	if err := cluster.Get(t.cmd.Context(), t.client, key, of.object); err != nil {
		return err
	}
	return of.reconcile(limit)
}
