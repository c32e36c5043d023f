// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"bytes"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
)

func TestAStatusSelectorSelectsByACondition(t *testing.T) {
	pod := func(conditions ...corev1.PodCondition) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Status: corev1.PodStatus{Conditions: conditions}}
	}
	ready := pod(corev1.PodCondition{Type: "Ready", Status: "True"}, corev1.PodCondition{Type: "Stalled", Status: "False"})
	failed := pod(corev1.PodCondition{Type: "Ready", Status: "False"})
	fresh := pod()
	for text, want := range map[string][3]bool{ // ready, failed and fresh
		"":               {true, true, true},
		"ready=true":     {true, false, false},
		"Ready=False":    {false, true, false},
		"ready!=true":    {false, true, true},
		"stalled=false":  {true, false, false},
		"stalled!=false": {false, true, true},
		"ready=unknown":  {false, false, false},
	} {
		t.Run(text, func(t *testing.T) {
			l := &Listing{
				Kinds: []Kind{{New: func() client.ObjectList { return &corev1.PodList{} }}},
				Rows: func(lists []client.ObjectList) (rows Rows) {
					for _, pod := range lists[0].(*corev1.PodList).Items {
						rows.Add(pod, "pod", string(pod.UID))
					}
					return rows
				},
			}
			var err error
			if l.status, err = parseStatusSelector(text); err != nil {
				t.Fatal(err)
			}
			for i, pod := range []*corev1.Pod{ready, failed, fresh} {
				rows, err := l.rows([]client.ObjectList{&corev1.PodList{Items: []corev1.Pod{*pod}}})
				if is := len(rows.Items) == 1; err != nil || is != want[i] {
					t.Errorf("selects %v: %v, %v; want %v", pod.Status, is, err, want[i])
				}
			}
		})
	}
	for _, text := range []string{"ready", "=true", "ready=", "!=true"} {
		if _, err := parseStatusSelector(text); !errors.Is(err, errStatusSelector) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

// TestAListingGoesOnPastAKindThatIsForbidden where it is of several kinds: one right that is missing hid all that one may see.
func TestAListingGoesOnPastAKindThatIsForbidden(t *testing.T) {
	of := func(kinds ...string) func(string) error {
		return func(kind string) error {
			for _, forbidden := range kinds {
				if kind == forbidden {
					return apierrors.NewForbidden(schema.GroupResource{Resource: kind}, "", errors.New("no"))
				}
			}
			return nil
		}
	}
	fine := func(string) error { return nil }
	l := mapsAndSecrets()
	l.Optional, l.Kinds[1].Beside = true, false
	read, err := l.read(t.Context(), refusing(of("Secret"), fine), everything)
	if err != nil || len(read.refused) != 1 || !read.served[0] || read.served[1] {
		t.Errorf("got %+v, %v", read, err)
	}
	if read, err = l.read(t.Context(), refusing(of("Secret", "ConfigMap"), fine), everything); !apierrors.IsForbidden(err) {
		t.Errorf("nothing may be listed, and the error is %v: %+v", err, read)
	}
}

func TestATableWithoutTitles(t *testing.T) {
	table := output.Table{Columns: []string{"NAME", "READY"}, Headless: true}
	table.Add("a", "a", "True")
	var out bytes.Buffer
	if err := table.Print(&out); err != nil || out.String() != "a   True\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}
