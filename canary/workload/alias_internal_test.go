// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-cd/sluice/canary/object"
)

// TestAliasesAreWhatFlaggerComputes has the values that Flagger 1.44.0's own
// function returned for these objects.
func TestAliasesAreWhatFlaggerComputes(t *testing.T) {
	tests := map[string]string{
		"deployment":       "6469b6644f",
		"deployment-small": "6ddfcbc6bb",
		"daemonset":        "796c988469",
		"service":          "59bfc8b85d",
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", "flagger", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			u := &unstructured.Unstructured{}
			if err := json.Unmarshal(data, u); err != nil {
				t.Fatal(err)
			}
			spec := object.Map(u.Object, "spec")
			var got string
			switch u.GetKind() {
			case "Service":
				got, err = aliasOf(spec, &corev1.ServiceSpec{})
			case "DaemonSet":
				got, err = nodesAlias(object.Map(spec, "template"))
			default:
				got, err = templateAlias(object.Map(spec, "template"))
			}
			if err != nil || got != want {
				t.Errorf("alias is %q (%v), want %q", got, err, want)
			}
		})
	}
	if got := revisionAlias("podinfo-00002"); got != "547d5765b7" {
		t.Errorf("alias of a Knative Revision is %q", got)
	}
}

// TestFieldsThatFlaggerDoesNotKnowHaveNoPartInAnAlias: it would not see them
// either.
func TestFieldsThatFlaggerDoesNotKnowHaveNoPartInAnAlias(t *testing.T) {
	template := map[string]any{"spec": map[string]any{"volumes": []any{map[string]any{"name": "x", "configMap": map[string]any{"name": "x"}}}}}
	before, err := templateAlias(template)
	if err != nil {
		t.Fatal(err)
	}
	newer := runtime.DeepCopyJSON(template)
	newer["spec"].(map[string]any)["evictionResponders"] = []any{map[string]any{"name": "somebody"}}
	after, err := templateAlias(newer)
	if err != nil || after != before {
		t.Errorf("alias went from %s to %s (%v)", before, after, err)
	}
}

// TestTheStructsOfAliasesAreFlaggers fails when Kubernetes has a field that
// Flagger 1.44 does not know, or lacks one: list it in unknownFields.
func TestTheStructsOfAliasesAreFlaggers(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("testdata", "flagger", "layout.txt"))
	if err != nil {
		t.Fatal(err)
	}
	layouts := map[string]string{}
	layout(reflect.TypeFor[corev1.PodTemplateSpec](), layouts)
	layout(reflect.TypeFor[corev1.ServiceSpec](), layouts)
	var got []string
	for name, fields := range layouts {
		got = append(got, name+":"+fields)
	}
	slices.Sort(got)
	if diff := cmp.Diff(strings.Fields(string(want)), strings.Fields(strings.Join(got, "\n"))); diff != "" {
		t.Errorf("structs (-Flagger's +ours):\n%s", diff)
	}
}

// layout notes the fields of a struct and of all that it consists of.
func layout(t reflect.Type, into map[string]string) {
	switch t.Kind() {
	case reflect.Map:
		layout(t.Key(), into)
		layout(t.Elem(), into)
	case reflect.Pointer, reflect.Slice, reflect.Array:
		layout(t.Elem(), into)
	case reflect.Struct:
		if _, known := into[t.String()]; known {
			return
		}
		into[t.String()] = ""
		fields := ""
		for i := range t.NumField() {
			field := t.Field(i)
			if slices.Contains(unknownFields[t.String()], field.Name) {
				continue
			}
			fields += fmt.Sprintf(" %s:%s", field.Name, field.Type)
			layout(field.Type, into)
		}
		into[t.String()] = fields
	}
}
