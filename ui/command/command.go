// SPDX-License-Identifier: Apache-2.0

// Package command gives what people ask for to objects, as the annotations and fields that controllers read: the command
// line and the page do the same in the same way. Nothing here waits for what comes of it.
package command

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/report"
)

// Person is who asks, with the rights of the client.
type Person struct {
	Client client.Client
	// Name is what the API server calls the person.
	Name  string
	Clock clock.PassiveClock
}

// ObjectionError says why a command would change nothing. It is for people.
type ObjectionError struct{ Why string }

func (e *ObjectionError) Error() string { return e.Why }

// Canary gives a command to a Canary, unless it makes no sense any more after what somebody else did meanwhile: that is an
// [ObjectionError]. Target is read anew.
func (p Person) Canary(ctx context.Context, verb flaggerv1.CommandVerb, target *flaggerv1.Canary) (flaggerv1.CanaryCommand, error) {
	command := flaggerv1.CanaryCommand{Verb: verb, At: metav1.NewMicroTime(p.Clock.Now().Truncate(time.Microsecond)), By: p.Name}
	err := p.patch(ctx, target, func() error {
		if why := report.ObjectionTo(verb, target, p.Clock.Now()); why != "" {
			return &ObjectionError{fmt.Sprintf("there is nothing to %s: %s/%s %s", verb, target.Namespace, target.Name, why)}
		}
		annotate(target, flaggerv1.CommandAnnotation, command.String())
		return nil
	})
	if err != nil {
		return command, fmt.Errorf("telling Canary %s/%s to %s: %w", target.Namespace, target.Name, verb, err)
	}
	return command, nil
}

// Reconcile asks the controller of an object to look at it now, which a suspended one does not hear.
func (p Person) Reconcile(ctx context.Context, kind schema.GroupVersionKind, key client.ObjectKey) error {
	object := named(kind, key)
	err := p.patch(ctx, object, func() error {
		if report.IsSuspended(object) {
			return &ObjectionError{fmt.Sprintf("%s %s is suspended: resume it first", kind.Kind, key)}
		}
		annotate(object, meta.ReconcileRequestAnnotation, p.Clock.Now().Format(time.RFC3339Nano))
		return nil
	})
	if err != nil {
		return fmt.Errorf("asking for a reconcile of %s %s: %w", kind.Kind, key, err)
	}
	return nil
}

// Suspend stops the reconciliation of an object.
func (p Person) Suspend(ctx context.Context, kind schema.GroupVersionKind, key client.ObjectKey) error {
	return p.setSuspend(ctx, kind, key, true)
}

// Resume lets the reconciliation of an object go on.
func (p Person) Resume(ctx context.Context, kind schema.GroupVersionKind, key client.ObjectKey) error {
	return p.setSuspend(ctx, kind, key, false)
}

func (p Person) setSuspend(ctx context.Context, kind schema.GroupVersionKind, key client.ObjectKey, suspend bool) error {
	object := named(kind, key)
	err := p.patch(ctx, object, func() error {
		if report.IsSuspended(object) == suspend {
			state := "is not suspended"
			if suspend {
				state = "is suspended already"
			}
			return &ObjectionError{fmt.Sprintf("%s %s %s", kind.Kind, key, state)}
		}
		if kind.Group == generatorv1.GroupVersion.Group {
			setDisabled(object, suspend)
			return nil
		}
		if !suspend {
			unstructured.RemoveNestedField(object.Object, "spec", "suspend")
			return nil
		}
		return unstructured.SetNestedField(object.Object, true, "spec", "suspend")
	})
	if err != nil {
		verb := "resuming"
		if suspend {
			verb = "suspending"
		}
		return fmt.Errorf("%s %s %s: %w", verb, kind.Kind, key, err)
	}
	return nil
}

// setDisabled sets the annotation that suspends an ArtifactGenerator, or removes it.
func setDisabled(object *unstructured.Unstructured, disable bool) {
	if disable {
		annotate(object, generatorv1.ReconcileAnnotation, generatorv1.DisabledValue)
		return
	}
	annotations := object.GetAnnotations()
	delete(annotations, generatorv1.ReconcileAnnotation)
	object.SetAnnotations(annotations)
}

// patch reads an object, changes it and writes what has changed, again as long as others write it meanwhile.
func (p Person) patch(ctx context.Context, object client.Object, change func() error) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if err := p.Client.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		before, ok := object.DeepCopyObject().(client.Object)
		if !ok {
			return fmt.Errorf("%T is no object", object)
		}
		if err := change(); err != nil {
			return err
		}
		return p.Client.Patch(ctx, object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	})
}

func annotate(object client.Object, name, value string) {
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[name] = value
	object.SetAnnotations(annotations)
}

func named(kind schema.GroupVersionKind, key client.ObjectKey) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	object.SetNamespace(key.Namespace)
	object.SetName(key.Name)
	return object
}
