// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"net/http"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/test/fake/apiserver"
)

func TestFieldsAreTakenOverAlthoughAStatusIsWritten(t *testing.T) {
	tests := map[string]struct {
		conflicts int
		wantErr   bool
	}{
		"nobody else writes":           {},
		"a status is written":          {conflicts: 2},
		"somebody writes all the time": {conflicts: 1000, wantErr: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			taken, tries := false, 0
			e.Hook = func(r apiserver.Request) error {
				method, body := r.Method, r.Body
				switch {
				case method != http.MethodPatch:
				case body.Object == nil: // a JSON patch
					if tries++; tries <= tc.conflicts {
						return apierrors.NewConflict(schema.GroupResource{}, "c", errors.New("modified"))
					}
					taken = true
				case !taken:
					body.SetManagedFields([]metav1.ManagedFieldsEntry{{
						Manager: "kubectl-edit", Operation: metav1.ManagedFieldsOperationUpdate, FieldsType: "FieldsV1",
						FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:theirs":{}}}`),
					}})
				}
				return nil
			}
			_, err := e.set.Apply(t.Context(), Request{Objects: []*unstructured.Unstructured{config("1")}})
			if (err != nil) != tc.wantErr || taken == tc.wantErr {
				t.Errorf("Apply = %v, taken over %v after %d tries", err, taken, tries)
			}
		})
	}
}

func TestAPanicOverOneObjectIsItsError(t *testing.T) {
	e := newTestEnv(t)
	a := &applier{set: e.set}
	done, err := a.safely(t.Context(), &object{}) // which nobody prepared
	if done != nil || err == nil {
		t.Errorf("safely = %v, %v", done, err)
	}
}
