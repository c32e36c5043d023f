// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
)

// scope is what it takes to act for one canary: its spec, the API server, and what is
// cached about it. It says which objects are the canary's to write.
type scope struct {
	canary *flaggerv1.Canary
	live   client.Client
	cached client.Reader
	clock  clock.PassiveClock
	opts   Options
	entry  *entry
}

// key is that of an object beside the canary.
func (s *scope) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: s.canary.Namespace, Name: name}
}

// object names an object beside the canary.
func (s *scope) object(kind schema.GroupVersionKind, name string) object.Ref {
	return object.Ref{GroupVersionKind: kind, NamespacedName: s.key(name)}
}

// targetName and primaryName are those of the two copies.
func (s *scope) targetName() string  { return s.canary.Spec.TargetRef.Name }
func (s *scope) primaryName() string { return flaggerv1.PrimaryName(s.targetName()) }

// services are the three Services of a canary that has users.
func (s *scope) services() []object.Ref {
	if !s.canary.HasService() {
		return nil
	}
	apex, primary, canary := s.canary.ServiceNames()
	service := corev1.SchemeGroupVersion.WithKind("Service")
	return []object.Ref{s.object(service, apex), s.object(service, primary), s.object(service, canary)}
}

// read returns a live object as JSON; nil means that there is none, or that it is
// on its way out.
func (s *scope) read(ctx context.Context, kind schema.GroupVersionKind, name string) (*unstructured.Unstructured, error) {
	live := s.named(kind, name)
	err := s.live.Get(ctx, s.key(name), live)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", title(live), err)
	}
	if live.GetDeletionTimestamp() != nil {
		return nil, nil
	}
	return live, nil
}

// named is an object beside the canary of which nothing is known but its name.
func (s *scope) named(kind schema.GroupVersionKind, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(kind)
	u.SetNamespace(s.canary.Namespace)
	u.SetName(name)
	return u
}

// cachedVersion is the resource version that the informers have seen last; empty if
// there is no such object.
func (s *scope) cachedVersion(ctx context.Context, kind schema.GroupVersionKind, name string) (string, error) {
	seen := &metav1.PartialObjectMetadata{}
	seen.SetGroupVersionKind(kind)
	err := s.cached.Get(ctx, s.key(name), seen)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking for %s %s.%s: %w", kind.Kind, name, s.canary.Namespace, err)
	}
	return seen.ResourceVersion, nil
}

// annotate sets annotations of a live object, and removes those that are nil.
func (s *scope) annotate(ctx context.Context, u *unstructured.Unstructured, annotations map[string]any) error {
	patch, err := mergePatchOfAnnotations(annotations)
	if err == nil {
		err = s.live.Patch(ctx, u.DeepCopy(), client.RawPatch(types.MergePatchType, patch))
	}
	if err != nil {
		return fmt.Errorf("annotating %s: %w", title(u), err)
	}
	return nil
}

// deleted reports whether the canary is on its way out.
func (s *scope) deleted() bool { return s.canary.DeletionTimestamp != nil }

// refuse is an error that only an edit helps with, unless the canary goes: it gives back
// what it took whatever its spec, the target or the controller's settings have become.
func (s *scope) refuse(format string, args ...any) error {
	if s.deleted() {
		return nil
	}
	return reconcile.TerminalError(fmt.Errorf(format, args...))
}

// warn tells the canary's owner.
func (s *scope) warn(format string, args ...any) {
	if s.opts.Warn != nil {
		s.opts.Warn(s.canary, fmt.Errorf(format, args...))
	}
}

// ownerRef makes an object go with the canary.
func (s *scope) ownerRef() metav1.OwnerReference {
	return *metav1.NewControllerRef(s.canary, flaggerv1.GroupVersion.WithKind(flaggerv1.CanaryKind))
}

// claim makes the canary the controller of an object that has none.
func (s *scope) claim(object client.Object) {
	if metav1.GetControllerOf(object) == nil {
		object.SetOwnerReferences(append(object.GetOwnerReferences(), s.ownerRef()))
	}
}

// ErrTaken means that somebody else's object is in the place of a copy.
var ErrTaken = errors.New("is not overwritten; rename it, or delete it if an earlier Canary left it")

// checkOwner refuses what another canary made: the two would undo each other's work
// for ever. What an earlier canary of this name has left is about to be collected,
// and nothing may be built on it.
func (s *scope) checkOwner(object client.Object, field string) error {
	owner := metav1.GetControllerOf(object)
	if owner == nil || owner.UID == s.canary.UID || owner.Kind != flaggerv1.CanaryKind {
		return nil
	}
	if owner.Name == s.canary.Name {
		return fmt.Errorf("%s %s.%s belongs to an earlier Canary of this name, and is about to go with it",
			kindOf(object), object.GetName(), object.GetNamespace())
	}
	return reconcile.TerminalError(fmt.Errorf("%s: %s %s.%s belongs to Canary %s: two cannot release the same; "+
		"delete one of them, or this object if that Canary has another target by now",
		field, kindOf(object), object.GetName(), object.GetNamespace(), owner.Name))
}

// checkTarget refuses a target that a canary made, such as a primary: it would be stopped
// under that canary's users.
func (s *scope) checkTarget(object client.Object) error {
	owner := metav1.GetControllerOf(object)
	if owner == nil || owner.Kind != flaggerv1.CanaryKind {
		return nil
	}
	return s.refuse("spec.targetRef: %s %s.%s was made by Canary %s, for its users: name the target of that one, or make another",
		kindOf(object), object.GetName(), object.GetNamespace(), owner.Name)
}

// checkPlace refuses to write a copy over what somebody else made, which would also be
// deleted with the canary. What has no owner is the canary's if isCopy says that it is a
// copy that lost its own, such as when an earlier Canary was deleted without what it made.
func (s *scope) checkPlace(object client.Object, isCopy func() bool) error {
	owner, whose := metav1.GetControllerOf(object), "has no owner"
	switch {
	case object.GetResourceVersion() == "", owner == nil && isCopy(), owner != nil && owner.UID == s.canary.UID:
		return nil
	case owner != nil:
		whose = fmt.Sprintf("belongs to %s %s", owner.Kind, owner.Name)
	}
	return fmt.Errorf("%s %s.%s is in the place of a copy and %s: it %w",
		kindOf(object), object.GetName(), object.GetNamespace(), whose, ErrTaken)
}

// isNeverCopy is the answer in places where no object counts as a copy.
func isNeverCopy() bool { return false }

// refusing makes of a place that is taken an error that only an edit of the field, or
// of the object, helps with. The object is watched.
func refusing(field string, err error) error {
	if errors.Is(err, ErrTaken) {
		return reconcile.TerminalError(fmt.Errorf("%s: %w", field, err))
	}
	return err
}

// kindOf is how messages name the kind of an object; typed ones forget theirs.
func kindOf(object client.Object) string {
	if kind := object.GetObjectKind().GroupVersionKind().Kind; kind != "" {
		return strings.ToLower(kind)
	}
	return "service"
}

// title is how errors name an object.
func title(u *unstructured.Unstructured) string {
	return fmt.Sprintf("%s %s.%s", strings.ToLower(u.GetKind()), u.GetName(), u.GetNamespace())
}
