// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Resource is an object of any kind that is served, by what all kinds have.
type Resource struct {
	// Kind is the kind of the object.
	Kind string `json:"kind"`
	// Namespace of the object, if its kind has any.
	Namespace string `json:"namespace,omitempty"`
	// Name of the object.
	Name string `json:"name"`
	// Revision is what the object stands at: the artifact of a source, what a Kustomization has
	// applied, what a policy chose, the phase of a canary.
	Revision string `json:"revision,omitempty"`
	// Suspended means that nothing is done before spec.suspend is false.
	Suspended bool `json:"suspended,omitempty"`
	// Ready is the status of the condition Ready: True, False or Unknown.
	Ready string `json:"ready"`
	// Reason is the reason of the condition Ready.
	Reason string `json:"reason,omitempty"`
	// Message is the message of the condition Ready.
	Message string `json:"message,omitempty"`
}

// revisions are where kinds say what they stand at; the first that is there counts.
var revisions = [][]string{
	{"status", "artifact", "revision"}, {"status", "lastAppliedRevision"}, {"status", "lastPushCommit"}, {"status", "phase"},
}

// OfResource reads an object of any kind that is served.
func OfResource(u *unstructured.Unstructured) Resource {
	found := Resource{Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName(), Ready: string(metav1.ConditionUnknown)}
	found.Suspended = IsSuspended(u)
	found.Revision = revisionIn(u)
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, item := range conditions {
		condition, _ := item.(map[string]any)
		if condition["type"] != meta.ReadyCondition {
			continue
		}
		text := func(field string) string { value, _ := condition[field].(string); return value }
		found.Ready, found.Reason, found.Message = text("status"), text("reason"), text("message")
	}
	return found
}

// IsSuspended reports whether an object of any kind is suspended: by spec.suspend, or by an annotation where it is an
// ArtifactGenerator.
func IsSuspended(u *unstructured.Unstructured) bool {
	if u.GroupVersionKind().Group == generatorv1.GroupVersion.Group {
		return strings.EqualFold(u.GetAnnotations()[generatorv1.ReconcileAnnotation], generatorv1.DisabledValue)
	}
	suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend")
	return suspended
}

func revisionIn(u *unstructured.Unstructured) string {
	for _, path := range revisions {
		if text, found, err := unstructured.NestedString(u.Object, path...); found && err == nil && text != "" {
			return text
		}
	}
	if chosen, found, err := unstructured.NestedStringMap(u.Object, "status", "latestRef"); found && err == nil {
		return strings.TrimSuffix(chosen["name"]+":"+chosen["tag"], ":")
	}
	if tags, found, err := unstructured.NestedInt64(u.Object, "status", "lastScanResult", "tagCount"); found && err == nil {
		return fmt.Sprintf("%d tags", tags)
	}
	return ""
}
