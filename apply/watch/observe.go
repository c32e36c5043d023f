package watch

import (
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/cache"
)

// Manager is the field manager of everything that is applied. It is upstream's,
// so that objects can change hands without a conflict.
const Manager = "kustomize-controller"

// Observed is what is kept of an object: enough to say whether it is healthy
// and whether anyone changed the fields that were applied, and no more.
type Observed struct {
	// ObjectMeta has name, namespace, uid, resourceVersion, deletionTimestamp,
	// labels and annotations.
	metav1.ObjectMeta
	// Status is the health of the object as kstatus sees it, with its message.
	Status  status.Status
	Message string
	// Print identifies the fields that Manager owns, and when it wrote them last.
	// Whoever overwrites or removes one of them takes it over, and the print
	// changes; status updates and other people's fields leave it alone.
	Print string
	// Rivals identifies the fields of managers who are overruled; "" when there
	// are none.
	Rivals string
	// Writer is the manager, other than Manager, that wrote fields last.
	Writer string
}

// Observe reads an object as the API server returned it.
func Observe(u *unstructured.Unstructured) (o *Observed) {
	o = observeMeta(u)
	// Anybody may write anything into the status of an object of his own kind. A
	// panic here would be one of an informer, which ends the process.
	defer func() {
		if r := recover(); r != nil {
			o.Status, o.Message = status.UnknownStatus, fmt.Sprintf("reading its status: panic: %v [recovered]", r)
		}
	}()
	if res, err := compute(u); err != nil {
		o.Status, o.Message = status.UnknownStatus, err.Error()
	} else {
		o.Status, o.Message = res.Status, res.Message
	}
	return o
}

func observeMeta(obj metav1.Object) *Observed {
	o := &Observed{
		ObjectMeta: metav1.ObjectMeta{
			Name: obj.GetName(), Namespace: obj.GetNamespace(), UID: obj.GetUID(),
			ResourceVersion: obj.GetResourceVersion(), DeletionTimestamp: obj.GetDeletionTimestamp(),
			Labels: obj.GetLabels(), Annotations: obj.GetAnnotations(),
		},
		Status: status.CurrentStatus,
	}
	o.Print, o.Rivals, o.Writer = readManagers(obj)
	// A kubectl user's copy of the whole object is not worth its memory.
	delete(o.Annotations, "kubectl.kubernetes.io/last-applied-configuration")
	if o.DeletionTimestamp != nil {
		o.Status = status.TerminatingStatus
	}
	return o
}

// compute is kstatus, except that a Job is healthy when it is complete, not
// when it runs, as upstream has it.
func compute(u *unstructured.Unstructured) (*status.Result, error) {
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

// OlderThan reports whether o was read before the given version was written.
func (o *Observed) OlderThan(resourceVersion string) bool {
	return older(o.ResourceVersion, resourceVersion)
}

// older compares resource versions; what cannot be compared is not older.
func older(version, than string) bool {
	order, err := resourceversion.CompareResourceVersion(version, than)
	return err == nil && order < 0
}

// String is the object's health as messages show it.
func (o *Observed) String() string {
	if o.Message == "" {
		return fmt.Sprintf("status: '%s'", o.Status)
	}
	return fmt.Sprintf("status: '%s': %s", o.Status, o.Message)
}

// trim replaces what an informer received by what is kept of it. It sees its
// own output again when an informer lists anew.
func trim(obj any) (any, error) {
	switch o := obj.(type) {
	case *unstructured.Unstructured:
		return Observe(o), nil
	case *metav1.PartialObjectMetadata:
		return observeMeta(o), nil
	case *Observed:
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
