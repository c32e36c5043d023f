// SPDX-License-Identifier: Apache-2.0

package object

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

func TestReadingAPath(t *testing.T) {
	o := JSON{"spec": JSON{"name": "app", "list": []any{JSON{"a": "1"}, "no object", JSON{"a": "2"}}}}
	for name, tc := range map[string]struct{ got, want any }{
		"a text":                      {Text(o, "spec", "name"), "app"},
		"no text":                     {Text(o, "spec", "list"), ""},
		"a text below a text":         {Text(o, "spec", "name", "first"), ""},
		"an object":                   {Map(o, "spec", "list"), JSON(nil)},
		"the objects of a list":       {List(o, "spec", "list"), []JSON{{"a": "1"}, {"a": "2"}}},
		"the objects of no list":      {List(o, "spec", "name"), []JSON(nil)},
		"a copy of what is not there": {CopyMap(o, "status"), JSON{}},
		"the whole":                   {Nested(o), any(o)},
	} {
		if diff := cmp.Diff(tc.want, tc.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWhatIsReadIsTheLivePart(t *testing.T) {
	o := JSON{"list": []any{JSON{"a": "1"}}, "map": JSON{"a": "1"}}
	List(o, "list")[0]["a"] = "2"
	Map(o, "map")["a"] = "2"
	if diff := cmp.Diff(JSON{"list": []any{JSON{"a": "2"}}, "map": JSON{"a": "2"}}, o); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestACopyIsNoLivePart(t *testing.T) {
	o := JSON{"list": []any{JSON{"a": "1"}}, "map": JSON{"a": "1"}}
	CopyList(o, "list")[0]["a"] = "2"
	CopyMap(o, "map")["a"] = "2"
	if diff := cmp.Diff(JSON{"list": []any{JSON{"a": "1"}}, "map": JSON{"a": "1"}}, o); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWritingAPath(t *testing.T) {
	for name, tc := range map[string]struct {
		put  func(JSON)
		want JSON
	}{
		"makes the objects on its way":       {func(o JSON) { Put(o, "v", "a", "b") }, JSON{"a": JSON{"b": "v"}, "text": "t"}},
		"replaces what is no object":         {func(o JSON) { Put(o, "v", "text", "b") }, JSON{"text": JSON{"b": "v"}}},
		"takes lists of objects":             {func(o JSON) { Put(o, []JSON{{"x": "y"}}, "text") }, JSON{"text": []any{JSON{"x": "y"}}}},
		"takes lists of texts":               {func(o JSON) { Put(o, []string{"x"}, "text") }, JSON{"text": []any{"x"}}},
		"removes an empty list":              {func(o JSON) { PutList(o, "text", nil) }, JSON{}},
		"sets a list":                        {func(o JSON) { PutList(o, "text", []JSON{{}}) }, JSON{"text": []any{JSON{}}}},
		"removes no object":                  {func(o JSON) { PutMap(o, "text", nil) }, JSON{}},
		"sets an object":                     {func(o JSON) { PutMap(o, "text", JSON{}) }, JSON{"text": JSON{}}},
		"makes a child where there was none": {func(o JSON) { Child(o, "c")["d"] = "e" }, JSON{"text": "t", "c": JSON{"d": "e"}}},
	} {
		t.Run(name, func(t *testing.T) {
			o := JSON{"text": "t"}
			tc.put(o)
			if diff := cmp.Diff(tc.want, o); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			runtime.DeepCopyJSON(o) // panics about what is no JSON
		})
	}
}

func TestFluxIsKeptOffAnObjectAndLetInAgain(t *testing.T) {
	o := &unstructured.Unstructured{Object: JSON{}}
	DisableFlux(o)
	if diff := cmp.Diff(FluxDisabled(), o.GetAnnotations()); diff != "" || len(FluxDisabled()) != 2 {
		t.Errorf("(-want +got):\n%s", diff)
	}
	EnableFlux(o)
	if _, left := o.Object["metadata"].(JSON)["annotations"]; left {
		t.Errorf("an empty map is left: %v", o.Object)
	}
	o.SetAnnotations(map[string]string{"mine": "yes"})
	DisableFlux(o)
	EnableFlux(o)
	if diff := cmp.Diff(map[string]string{"mine": "yes"}, o.GetAnnotations()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMergeModifiesNeither(t *testing.T) {
	base, extra := map[string]string{"a": "1", "b": "1"}, map[string]string{"b": "2"}
	if diff := cmp.Diff(map[string]string{"a": "1", "b": "2"}, Merge(base, extra)); diff != "" || base["b"] != "1" || len(extra) != 1 {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := Merge(map[string]string{}, nil); got != nil {
		t.Errorf("nothing merged is %v, which would be written again and again", got)
	}
}

func TestWhatARefIsCalled(t *testing.T) {
	kind := schema.GroupVersionKind{Kind: "TrafficRoute"}
	if got := NewRef(kind, "staging", "app").String() + " " + NewRef(kind, "", "app").String(); got != "staging/app app" {
		t.Error(got)
	}
}

func TestWhoIsACanary(t *testing.T) {
	c := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Name: "app", UID: "uid"}}
	own := OwnerReference(c)
	if !*own.Controller || own.UID != "uid" || !OwnedByCanary(own) {
		t.Errorf("got %v", own)
	}
	for name, ref := range map[string]metav1.OwnerReference{
		"of another group":     {APIVersion: "example.com/v1", Kind: "Canary"},
		"of another kind":      {APIVersion: "flagger.app/v1beta1", Kind: "MetricTemplate"},
		"of no group":          {APIVersion: "v1", Kind: "Canary"},
		"of a group like none": {APIVersion: "a/b/c", Kind: "Canary"},
	} {
		if OwnedByCanary(ref) {
			t.Errorf("an owner %s is no Canary", name)
		}
	}
	if !OwnedByCanary(metav1.OwnerReference{APIVersion: "flagger.app/v2", Kind: "Canary"}) {
		t.Error("a version does not matter")
	}
}
