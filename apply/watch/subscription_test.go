// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
)

func object(kind, apiVersion string, fields map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: fields}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetName("o")
	return u
}

func conditions(kinds ...string) map[string]any {
	var list []any
	for _, kind := range kinds {
		list = append(list, map[string]any{"type": kind, "status": "True"})
	}
	return map[string]any{"startTime": "2026-01-01T00:00:00Z", "conditions": list}
}

func TestObservedStatus(t *testing.T) {
	tests := map[string]struct {
		object *unstructured.Unstructured
		want   status.Status
	}{
		"a ConfigMap is healthy because it is there": {object("ConfigMap", "v1", map[string]any{}), status.CurrentStatus},
		"a Job that runs is not healthy yet": {
			object("Job", "batch/v1", map[string]any{"status": conditions()}),
			status.InProgressStatus,
		},
		"a Job that is complete is healthy": {
			object("Job", "batch/v1", map[string]any{"status": conditions("Complete")}),
			status.CurrentStatus,
		},
		"a Job that failed has failed": {
			object("Job", "batch/v1", map[string]any{"status": conditions("Failed")}),
			status.FailedStatus,
		},
		"a Job of another group is not a Job": {
			object("Job", "example.com/v1", map[string]any{"status": conditions()}),
			status.CurrentStatus,
		},
		"a deployment nobody has seen is in progress": {object("Deployment", "apps/v1", map[string]any{
			"metadata": map[string]any{"generation": int64(1)}, "spec": map[string]any{"replicas": int64(0)},
		}), status.InProgressStatus},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := observer.Observe(tc.object); got.Status != tc.want {
				t.Errorf("status = %s (%s), want %s", got.Status, got.Message, tc.want)
			}
		})
	}
}

func managed(manager string, op metav1.ManagedFieldsOperationType, subresource, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: op, Subresource: subresource, APIVersion: "v1", FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(fields),
	}
}

func TestFieldHash(t *testing.T) {
	apply, update := metav1.ManagedFieldsOperationApply, metav1.ManagedFieldsOperationUpdate
	ours := managed(profile.FieldManager, apply, "", `{"f:data":{"f:a":{},"f:b":{}}}`)
	tests := map[string]struct {
		after []metav1.ManagedFieldsEntry
		same  bool
	}{
		"status written by a controller leaves it": {
			after: []metav1.ManagedFieldsEntry{ours, managed("kcm", update, "status", `{"f:status":{}}`)}, same: true,
		},
		"another's own field leaves it": {
			after: []metav1.ManagedFieldsEntry{managed("other", update, "", `{"f:data":{"f:c":{}}}`), ours}, same: true,
		},
		"a field that another took over changes it": {
			after: []metav1.ManagedFieldsEntry{
				managed("other", update, "", `{"f:data":{"f:a":{}}}`), managed(profile.FieldManager, apply, "", `{"f:data":{"f:b":{}}}`),
			},
		},
		"losing all changes it": {after: []metav1.ManagedFieldsEntry{managed("other", update, "", `{"f:data":{}}`)}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			before, after := object("ConfigMap", "v1", map[string]any{}), object("ConfigMap", "v1", map[string]any{})
			before.SetManagedFields([]metav1.ManagedFieldsEntry{ours})
			after.SetManagedFields(tc.after)
			after.SetResourceVersion("2")
			if same := observer.Observe(before).FieldHash == observer.Observe(after).FieldHash; same != tc.same {
				t.Errorf("same = %v, want %v", same, tc.same)
			}
		})
	}
}

func TestTrimKeepsNoContent(t *testing.T) {
	secret := object("Secret", "v1", map[string]any{"data": map[string]any{"password": "aHVudGVyMg=="}})
	secret.SetAnnotations(map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "hunter2", "kept": "yes"})
	once, err := observer.trim(services, secret)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"kept": "yes"}, once.(*decide.LiveObject).Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if twice, err := observer.trim(services, once); err != nil || twice != once {
		t.Errorf("trim of its own output = %v, %v", twice, err)
	}
	if _, err := observer.trim(services, "text"); err == nil {
		t.Error("trim takes anything")
	}
}

var (
	deployments = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
	profile     = decide.NewProfile(schema.GroupKind{Group: "kustomize.toolkit.fluxcd.io", Kind: "Kustomization"}, "kustomize-controller")
	observer    = NewObserver(profile)
	owner       = profile.Owner("ns", "app")
)

func awaited(name string) decide.Awaited {
	return decide.Awaited{
		GroupVersionKind: deployments, ResourceVersion: "10",
		ID: inventory.ID{Namespace: "ns", Name: name, Group: "apps", Kind: "Deployment"},
	}
}

func seen(name, version string, s status.Status) *decide.LiveObject {
	return &decide.LiveObject{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, ResourceVersion: version}, Status: s}
}

// recorder is a handler that counts what it is told.
type recorder struct {
	healthChanges int
	changes       []Event
}

func (r *recorder) HealthChanged()        { r.healthChanges++ }
func (r *recorder) ObjectChanged(c Event) { r.changes = append(r.changes, c) }

func TestAwait(t *testing.T) {
	type news struct {
		object    *decide.LiveObject
		freshness decide.Freshness
	}
	gone := awaited("a")
	gone.Gone = true
	failed := awaited("a")
	failed.Failed = true
	tests := map[string]struct {
		objects []decide.Awaited
		news    []news
		want    int // notifications
	}{
		"one healthy of two is no news": {
			[]decide.Awaited{awaited("a"), awaited("b")},
			[]news{{seen("a", "11", status.CurrentStatus), decide.Fresh}},
			0,
		},
		"the last one to become healthy is": {
			[]decide.Awaited{awaited("a"), awaited("b")},
			[]news{{seen("a", "11", status.CurrentStatus), decide.Fresh}, {seen("b", "12", status.CurrentStatus), decide.Fresh}},
			1,
		},
		"what was healthy before is not": {
			[]decide.Awaited{awaited("a")},
			[]news{{seen("a", "9", status.CurrentStatus), decide.Fresh}},
			0,
		},
		"a failure is": {
			[]decide.Awaited{awaited("a"), awaited("b")},
			[]news{{seen("a", "11", status.FailedStatus), decide.Fresh}},
			1,
		},
		"a known failure is not":         {[]decide.Awaited{failed}, []news{{seen("a", "11", status.FailedStatus), decide.Fresh}}, 0},
		"recovery of a known failure is": {[]decide.Awaited{failed}, []news{{seen("a", "11", status.CurrentStatus), decide.Fresh}}, 1},
		"another's object is not": {
			[]decide.Awaited{awaited("a")},
			[]news{{seen("x", "11", status.CurrentStatus), decide.Fresh}},
			0,
		},
		"deletion is not, unless waited for": {
			[]decide.Awaited{awaited("a")},
			[]news{{seen("a", "11", status.CurrentStatus), decide.Missing}},
			0,
		},
		"deletion is, if waited for": {[]decide.Awaited{gone}, []news{{seen("a", "11", status.CurrentStatus), decide.Missing}}, 1},
		"after all is healthy nothing is": {
			[]decide.Awaited{awaited("a")},
			[]news{{seen("a", "11", status.CurrentStatus), decide.Fresh}, {seen("a", "12", status.FailedStatus), decide.Fresh}},
			1,
		},
		"nothing is for those who do not await": {nil, []news{{seen("a", "11", status.CurrentStatus), decide.Fresh}}, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := &recorder{}
			s := &Informers{
				observer: observer, byTarget: map[Target]*informer{}, owners: map[decide.Owner]*Subscription{},
				waiting: map[inventory.ID]map[*Subscription]bool{},
			}
			u := s.Subscribe(owner, h)
			if waiting := u.Await(tc.objects); waiting != (len(tc.objects) > 0) {
				t.Errorf("Await = %v", waiting)
			}
			for _, n := range tc.news {
				s.handle(deployments, nil, n.object, n.freshness)
			}
			s.handle(deployments, nil, cache.DeletedFinalStateUnknown{Key: "ns/none"}, decide.Missing)
			if h.healthChanges != tc.want {
				t.Errorf("told %d times, want %d", h.healthChanges, tc.want)
			}
			u.Await(nil)
			if len(u.pending)+len(s.waiting) != 0 {
				t.Errorf("left over: %v, %v", u.pending, s.waiting)
			}
		})
	}
}
