// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/watch"
)

// ErrImmutable marks the refusal of a change to an object whose new state the API
// server would accept of a new object: what cannot be changed can be recreated.
var ErrImmutable = errors.New("immutable field")

// ErrTerminating marks an object that is being deleted and not gone yet, so that it
// can be created again. The owner is notified when it is.
var ErrTerminating = errors.New("is being deleted in order to recreate it")

// OnlyTerminating reports whether all that an apply has to say of its objects is that some
// are [ErrTerminating]: then nothing has failed.
func OnlyTerminating(err error) bool {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return errors.Is(err, ErrTerminating)
	}
	return !slices.ContainsFunc(joined.Unwrap(), func(one error) bool { return !OnlyTerminating(one) })
}

// immutableError is an error that is [ErrImmutable] without saying so.
type immutableError struct {
	error
	// others are the managers of fields that the source does not have. A new object has
	// none of them, so they may be what the change is refused for.
	others []string
}

func (e immutableError) Unwrap() error        { return e.error }
func (e immutableError) Is(target error) bool { return target == ErrImmutable }

// sharedError is a refusal of what the object would be with the fields that others have
// added. Without them the change would be accepted.
type sharedError struct {
	error
	others []string // managers
}

func (e sharedError) Unwrap() error { return e.error }

// refusesChange reports whether an API server may have refused an apply because of
// what the object was before. That is invalid to API servers, and whatever they like
// to admission webhooks and policies, which choose the status. A conflict, a missing
// right or a broken connection is not.
func refusesChange(err error) bool {
	if apierrors.IsInvalid(err) {
		return true
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	code, text := status.Status().Code, strings.ToLower(err.Error())
	switch {
	case code < 400 || code >= 500:
		return false
	case strings.Contains(text, "denied the request"), strings.Contains(text, "denied request"):
		return true
	}
	return (apierrors.IsForbidden(err) || apierrors.IsBadRequest(err)) && strings.Contains(text, "immutable")
}

// recreateObject deals with the refusal of a change to an object that is there. Whether the
// change or the new state is refused, the phrases of errors do not tell: an
// immutable field has as many names as there are kinds. The API server is asked
// whether it would accept the same as a new object, in a dry run. So nothing is ever
// deleted that could not be created again.
func (a *applier) recreateObject(ctx context.Context, o *object, next *decide.Applied, refusal error) error {
	live, err := a.client.get(ctx, o.endpoint)
	if apierrors.IsNotFound(err) {
		return refusal // nothing is there to be changed: it is the new state
	}
	if err != nil {
		return errors.Join(refusal, err)
	}
	if a.set.engine.profile.Excluded(live.GetLabels(), live.GetAnnotations()) {
		next.Action, next.Left = decide.Skipped, a.set.observe(live)
		return nil
	}
	allowed := a.mayRecreate(o, live)
	err = a.client.wouldCreate(ctx, o, live)
	switch {
	case err != nil && allowed:
		return fmt.Errorf("%w; nor would it be accepted as a new object, so it is not recreated: %w", refusal, err)
	case err != nil:
		return refusal
	case !allowed:
		return a.refused(ctx, o, live, refusal)
	}
	if err := a.remove(ctx, o, live); err != nil {
		return err
	}
	got, err := a.client.apply(ctx, o.endpoint, o.payload, forceConflicts)
	if err != nil {
		return fmt.Errorf("it was deleted in order to recreate it: %w", err)
	}
	return a.finish(ctx, o, got, next)
}

// refused says what an API server refuses that would accept the same as a new object: the
// change, or what the object would be together with the fields of others. That is the second
// if it would accept the object in the place of the live one, without these fields.
func (a *applier) refused(ctx context.Context, o *object, live *unstructured.Unstructured, refusal error) error {
	others := a.othersOf(live)
	if len(others) > 0 && a.client.wouldReplace(ctx, o, live) == nil {
		return sharedError{refusal, others}
	}
	return immutableError{refusal, others}
}

// othersOf are the managers, besides the owner's, that have set fields of an object.
func (a *applier) othersOf(live *unstructured.Unstructured) (names []string) {
	for _, entry := range live.GetManagedFields() {
		if entry.Subresource == "" && entry.Manager != a.set.engine.profile.FieldManager && !watch.Requests(entry) {
			names = append(names, entry.Manager)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (a *applier) mayRecreate(o *object, live *unstructured.Unstructured) bool {
	profile := a.set.engine.profile
	return a.recreate == RecreateAll || profile.MayRecreate(o.GetLabels(), o.GetAnnotations()) ||
		profile.MayRecreate(live.GetLabels(), live.GetAnnotations())
}

// wouldCreate returns nil if the API server would accept the object if it were new.
// It validates and admits before it finds that the name is taken.
func (c *client) wouldCreate(ctx context.Context, o *object, live *unstructured.Unstructured) error {
	body, err := json.Marshal(asNew(o.Unstructured, live))
	if err != nil {
		return err
	}
	segments := o.endpoint.segments()
	err = c.rest.Post().AbsPath(segments[:len(segments)-1]...).
		Param("fieldManager", c.fieldManager).Param("dryRun", "All").Body(body).Do(ctx).Error()
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// wouldReplace returns nil if the API server would accept the object in the place of the live
// one, without what others have added to it.
func (c *client) wouldReplace(ctx context.Context, o *object, live *unstructured.Unstructured) error {
	replaced := o.DeepCopy()
	replaced.SetResourceVersion(live.GetResourceVersion())
	replaced.SetUID(live.GetUID())
	replaced.SetFinalizers(live.GetFinalizers())
	replaced.SetOwnerReferences(live.GetOwnerReferences())
	body, err := json.Marshal(replaced.Object)
	if err != nil {
		return err
	}
	return c.rest.Put().AbsPath(o.endpoint.segments()...).
		Param("fieldManager", c.fieldManager).Param("dryRun", "All").Body(body).Do(ctx).Error()
}

// asNew is what is sent to create the object in the place of the live one: without
// what a creation sets, and without what is allocated to the live one and becomes
// free when that goes.
func asNew(o, live *unstructured.Unstructured) map[string]any {
	fresh := o.DeepCopy()
	fresh.SetResourceVersion("")
	fresh.SetUID("")
	gvk := o.GroupVersionKind()
	if gvk.Group != "" || gvk.Kind != "Service" {
		return fresh.Object
	}
	spec, _, _ := unstructured.NestedMap(fresh.Object, "spec")
	held, _, _ := unstructured.NestedMap(live.Object, "spec")
	if spec == nil {
		return fresh.Object
	}
	if spec["clusterIP"] == held["clusterIP"] && held["clusterIP"] != "None" {
		delete(spec, "clusterIP")
		delete(spec, "clusterIPs")
	}
	if spec["healthCheckNodePort"] == held["healthCheckNodePort"] {
		delete(spec, "healthCheckNodePort")
	}
	taken := map[any]bool{}
	for _, port := range portsOf(held) {
		taken[port["nodePort"]] = true
	}
	for _, port := range portsOf(spec) {
		if taken[port["nodePort"]] {
			delete(port, "nodePort")
		}
	}
	fresh.Object["spec"] = spec
	return fresh.Object
}

func portsOf(spec map[string]any) []map[string]any {
	list, _ := spec["ports"].([]any)
	var ports []map[string]any
	for _, item := range list {
		if port, ok := item.(map[string]any); ok {
			ports = append(ports, port)
		}
	}
	return ports
}

// remove deletes the version of the object that was judged, and returns nil when it
// is gone, [ErrTerminating] when it is not: then the informers tell when it is, and no
// worker waits for it.
func (a *applier) remove(ctx context.Context, o *object, live *unstructured.Unstructured) error {
	if live.GetDeletionTimestamp() == nil {
		err := a.client.delete(ctx, o.endpoint, live.GetUID(), live.GetResourceVersion())
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("deleting it in order to recreate it: %w", err)
		}
	}
	left, err := a.client.get(ctx, o.endpoint)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("looking whether it is deleted in order to recreate it: %w", err)
	}
	return fmt.Errorf("%w%s", ErrTerminating, heldBy(left))
}

// heldBy says which finalizers a deletion waits for.
func heldBy(u *unstructured.Unstructured) string {
	if len(u.GetFinalizers()) == 0 {
		return ""
	}
	return ", and waits for the finalizers " + strings.Join(u.GetFinalizers(), ", ")
}
