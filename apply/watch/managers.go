package watch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unique"

	"github.com/fluxcd/pkg/ssa"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Rivals are the field managers whose fields become ours, as upstream has it: those
// of people who used kubectl, whichever of its commands, and our own from before
// server-side apply. What they add and the source does not have is taken away.
// Everybody else's fields stay with them.
func Rivals() []ssa.FieldManager {
	return []ssa.FieldManager{
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
		{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
		{Name: Manager, OperationType: metav1.ManagedFieldsOperationUpdate},
	}
}

// rivals is read for each event of each object.
var rivals = Rivals()

// Restarts reports whether an entry is that of `kubectl rollout restart` alone. It
// stays: a restart that is undone while it goes on is none, and undone later it is
// two.
func Restarts(entry metav1.ManagedFieldsEntry) bool {
	if entry.FieldsV1 == nil || !strings.HasPrefix(entry.Manager, "kubectl-rollout") {
		return false
	}
	var at map[string]json.RawMessage
	next := json.RawMessage(entry.FieldsV1.GetRawBytes())
	for _, field := range []string{"f:spec", "f:template", "f:metadata", "f:annotations", "f:kubectl.kubernetes.io/restartedAt"} {
		at = nil
		if json.Unmarshal(next, &at) != nil {
			return false
		}
		delete(at, ".")
		if len(at) != 1 || at[field] == nil {
			return false
		}
		next = at[field]
	}
	return true
}

// overruled reports whether the fields of an entry are taken over.
func overruled(entry metav1.ManagedFieldsEntry) bool {
	if entry.Subresource != "" {
		return false
	}
	for _, rival := range rivals {
		if rival.OperationType == entry.Operation && strings.HasPrefix(entry.Manager, rival.Name) {
			return !Restarts(entry)
		}
	}
	return false
}

// readManagers reads what managedFields says of an object. An API server that does
// not track fields leaves only the resource version for a print, which changes more
// often than needed and never less.
func readManagers(obj metav1.Object) (print, rivals, writer string) {
	print = "resourceVersion " + obj.GetResourceVersion()
	var last time.Time
	for _, f := range obj.GetManagedFields() {
		switch {
		case f.Manager == Manager && f.Operation == metav1.ManagedFieldsOperationApply && f.Subresource == "" && f.FieldsV1 != nil:
			print = printOf(f)
			continue
		case overruled(f):
			rivals += f.Manager + " " + printOf(f) + "\n"
		case f.Subresource == "status":
			continue
		}
		if at := timeOf(f); writer == "" || at.After(last) {
			writer, last = unique.Make(f.Manager).Value(), at // the same few names on all objects
		}
	}
	return print, rivals, writer
}

// printOf identifies the fields of an entry. The time is that of the last write that
// changed something: another apply under the same name may leave the same fields
// with other values.
func printOf(f metav1.ManagedFieldsEntry) string {
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
