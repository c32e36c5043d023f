// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/ssa"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/apply/decide"
)

// FormerManagers are the field managers whose fields become ours, as upstream has it:
// those of people who used kubectl, whichever of its commands, and our own from before
// server-side apply, and those that the operator names. What they add and the source does
// not have is taken away. Everybody else's fields stay with them.
func FormerManagers(profile *decide.Profile) []ssa.FieldManager {
	managers := []ssa.FieldManager{
		{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
		{Name: profile.FieldManager, OperationType: metav1.ManagedFieldsOperationUpdate},
	}
	for _, name := range append([]string{"kubectl"}, profile.OverriddenManagers...) {
		managers = append(managers,
			ssa.FieldManager{Name: name, OperationType: metav1.ManagedFieldsOperationApply},
			ssa.FieldManager{Name: name, OperationType: metav1.ManagedFieldsOperationUpdate})
	}
	return managers
}

// requests are the annotations by which people ask for something to be done once. They
// are not in any source, and taken away at once they would not be heard.
var requests = []string{
	meta.ReconcileRequestAnnotation, meta.ForceRequestAnnotation, "reconcile.fluxcd.io/resetAt",
	"sluice.dev/resumedAt", "sluice.dev/command", "sluice.dev/gates",
}

// Requests reports whether the fields of an entry do nothing but ask: for a reconcile,
// or, as `kubectl rollout restart` does, for new pods. They stay: a restart that is
// undone while it goes on is none, and undone later it is two.
func Requests(entry metav1.ManagedFieldsEntry) bool {
	var fields map[string]any
	if entry.FieldsV1 == nil || json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) != nil {
		return false
	}
	found := false
	for path := range leaves("", fields) {
		name, annotation := strings.CutPrefix(path, "/f:metadata/f:annotations/f:")
		if (!annotation || !slices.Contains(requests, name)) && path != restartedAt {
			return false
		}
		found = true
	}
	return found
}

const restartedAt = "/f:spec/f:template/f:metadata/f:annotations/f:kubectl.kubernetes.io/restartedAt"

// leaves yields the paths of the fields of a set.
func leaves(path string, fields map[string]any) iter.Seq[string] {
	return func(yield func(string) bool) {
		for name, below := range fields {
			inner, ok := below.(map[string]any)
			switch {
			case name == ".":
			case !ok || len(inner) == 0:
				if !yield(path + "/" + name) {
					return
				}
			default:
				for leaf := range leaves(path+"/"+name, inner) {
					if !yield(leaf) {
						return
					}
				}
			}
		}
	}
}

// isFormer reports whether the fields of an entry are taken over.
func (r Observer) isFormer(entry metav1.ManagedFieldsEntry) bool {
	if entry.Subresource != "" {
		return false
	}
	for _, former := range r.former {
		if former.OperationType == entry.Operation && strings.HasPrefix(entry.Manager, former.Name) {
			return !Requests(entry)
		}
	}
	return false
}

// readManagers reads what managedFields says of an object. An API server that does
// not track fields leaves only the resource version for a hash, which changes more
// often than needed and never less. Ignored fields count for no
// manager; content finds those in lists.
func (r Observer) readManagers(obj metav1.Object, content map[string]any, ignored []Pointer) (own, former, writer string) {
	own = "resourceVersion " + obj.GetResourceVersion()
	var last time.Time
	for _, f := range obj.GetManagedFields() {
		f, empty := without(f, ignored, content)
		switch {
		case f.Manager == r.profile.FieldManager && f.Operation == metav1.ManagedFieldsOperationApply && f.Subresource == "" && f.FieldsV1 != nil:
			own = hashOf(f)
			continue
		case empty:
			continue
		case r.isFormer(f):
			former += f.Manager + " " + hashOf(f) + "\n"
		case f.Subresource == "status":
			continue
		}
		if at := timeOf(f); writer == "" || at.After(last) {
			writer, last = unique.Make(f.Manager).Value(), at // the same few names on all objects
		}
	}
	return own, former, writer
}

// without returns an entry without some of its fields, and whether nothing else is in it.
func without(f metav1.ManagedFieldsEntry, ignored []Pointer, content map[string]any) (left metav1.ManagedFieldsEntry, empty bool) {
	if len(ignored) == 0 || f.FieldsV1 == nil {
		return f, false
	}
	var fields fieldSet
	if json.Unmarshal(f.FieldsV1.GetRawBytes(), &fields) != nil {
		return f, false
	}
	var value any // nil if it is not known, rather than a map of nothing
	if content != nil {
		value = content
	}
	for _, p := range ignored {
		fields.cut(p, value)
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return f, false
	}
	f.FieldsV1 = metav1.NewFieldsV1(string(text))
	return f, len(fields) == 0
}

// hashOf identifies the fields of an entry. The time is that of the last write that
// changed something: another apply under the same name may leave the same fields
// with other values.
func hashOf(f metav1.ManagedFieldsEntry) string {
	var fields []byte
	if f.FieldsV1 != nil {
		fields = f.FieldsV1.GetRawBytes()
	}
	sum := sha256.Sum256(fields)
	return fmt.Sprintf("%s %d %s", f.APIVersion, timeOf(f).Unix(), hex.EncodeToString(sum[:8]))
}

func timeOf(f metav1.ManagedFieldsEntry) time.Time {
	if f.Time == nil {
		return time.Time{}
	}
	return f.Time.Time
}
