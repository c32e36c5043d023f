// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/ssa"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/sluice-cd/sluice/apply/decide"
)

// lastApplied is the annotation with a kubectl user's copy of the whole object.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Observer reads live objects for the owners of one kind. Make it with [NewObserver].
type Observer struct {
	profile *decide.Profile
	former  []ssa.FieldManager
	rules   *Rules
}

// NewObserver returns an observer for the owners of a profile.
func NewObserver(profile *decide.Profile) Observer {
	return Observer{profile: profile, former: FormerManagers(profile)}
}

// With returns an observer that reads by the rules of one owner.
func (r Observer) With(rules *Rules) Observer {
	r.rules = rules
	return r
}

// Observe reads an object as the API server returned it.
func (r Observer) Observe(u *unstructured.Unstructured) (o *decide.LiveObject) {
	o = r.observeMeta(u.GroupVersionKind(), u, u.Object)
	// Anybody may write anything into the status of an object of his own kind. A
	// panic here would be one of an informer, which ends the process.
	defer func() {
		if cause := recover(); cause != nil {
			o.Status, o.Message = status.UnknownStatus, fmt.Sprintf("reading its status: panic: %v [recovered]", cause)
		}
	}()
	if res, err := r.compute(u); err != nil {
		o.Status, o.Message = status.UnknownStatus, err.Error()
	} else {
		o.Status, o.Message = res.Status, res.Message
	}
	return o
}

// observeMeta reads the metadata of an object, whose content is nil if only that is known.
func (r Observer) observeMeta(gvk schema.GroupVersionKind, obj metav1.Object, content map[string]any) *decide.LiveObject {
	o := &decide.LiveObject{
		ObjectMeta: metav1.ObjectMeta{
			Name: obj.GetName(), Namespace: obj.GetNamespace(), UID: obj.GetUID(),
			ResourceVersion: obj.GetResourceVersion(), DeletionTimestamp: obj.GetDeletionTimestamp(),
			Labels: obj.GetLabels(), Annotations: obj.GetAnnotations(),
		},
		Status: status.CurrentStatus, Rules: r.rules.DigestFor(gvk, obj),
	}
	if content == nil && r.rules.ReadsWhole(gvk.GroupKind()) {
		o.Status = status.UnknownStatus
	}
	o.FieldHash, o.FormerHash, o.Writer = r.readManagers(obj, content, r.rules.Ignored(gvk, obj))
	// It is not worth its memory.
	delete(o.Annotations, lastApplied)
	if o.DeletionTimestamp != nil {
		o.Status = status.TerminatingStatus
	}
	return o
}

// compute is the health of an object: by its owner's expressions, or else by kstatus,
// except that a Job is healthy when it is complete, not when it runs, as upstream has it.
func (r Observer) compute(u *unstructured.Unstructured) (*status.Result, error) {
	if rule := r.rules.healthOf(u.GroupVersionKind().GroupKind()); rule != nil && u.GetDeletionTimestamp() == nil {
		return rule.status(u)
	}
	res, err := status.Compute(u)
	if err != nil || res.Status != status.CurrentStatus || u.GetKind() != "Job" || u.GroupVersionKind().Group != "batch" {
		return res, err
	}
	with, err := status.GetObjectWithConditions(u.Object)
	if err != nil {
		return nil, err
	}
	for _, c := range with.Status.Conditions {
		if c.Type == "Complete" && c.Status == "True" {
			return res, nil
		}
	}
	return &status.Result{Status: status.InProgressStatus, Message: res.Message}, nil
}

// trim replaces what an informer of a kind received by what is kept of it. It sees its
// own output again when an informer lists anew.
func (r Observer) trim(gvk schema.GroupVersionKind, obj any) (any, error) {
	switch o := obj.(type) {
	case *unstructured.Unstructured:
		return r.Observe(o), nil
	case *metav1.PartialObjectMetadata:
		return r.observeMeta(gvk, o, nil), nil
	case *decide.LiveObject:
		return o, nil
	case cache.DeletedFinalStateUnknown:
		return o, nil
	}
	return nil, fmt.Errorf("cannot observe a %T", obj)
}

// keyOf is the object's key in an informer's store.
func keyOf(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return types.NamespacedName{Namespace: namespace, Name: name}.String()
}
