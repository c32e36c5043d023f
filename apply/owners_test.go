// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestAnObjectOfTwoOwnersIsKnownToBothWhileItLasts(t *testing.T) {
	e := newTestEnv(t)
	woken := 0
	other := profile.Owner("other", "web")
	second := e.set.engine.Set(other, func() {})
	first := e.set.engine.Set(profile.Owner("first", "web"), func() { woken++ })
	apply := func(s *Set, objects ...*unstructured.Unstructured) {
		t.Helper()
		if _, err := s.Apply(t.Context(), Request{Objects: objects}); err != nil {
			t.Fatal(err)
		}
	}
	apply(first, config("1"))
	if shared := first.Shared(); len(shared) != 0 {
		t.Fatalf("shared by nobody else: %v", shared)
	}
	before := woken
	apply(second, config("2"))
	if woken == before {
		t.Error("the first owner is not woken")
	}
	for who, s := range map[string]*Set{"other/web": first, "first/web": second} {
		got := fmt.Sprint(s.Shared())
		if !strings.Contains(got, "ConfigMap/ns/c is applied by Kustomization/"+who+" as well; remove it from all but one") {
			t.Errorf("the owner beside %s is told %s", who, got)
		}
	}
	before = woken
	apply(second)
	if woken == before || len(first.Shared()) != 0 || len(second.Shared()) != 0 {
		t.Errorf("after one gave it up: %v, %v, woken %v", first.Shared(), second.Shared(), woken > before)
	}
	apply(second, config("2"))
	second.Close(t.Context())
	if len(first.Shared()) != 0 {
		t.Errorf("after one was deleted: %v", first.Shared())
	}
}

func TestWhatIsOnlyMadeWhereItIsMissingIsNobodys(t *testing.T) {
	e := newTestEnv(t)
	second := e.set.engine.Set(profile.Owner("other", "web"), func() {})
	namespace := func() *unstructured.Unstructured {
		u := config("1")
		u.SetAnnotations(map[string]string{profile.SSAKey: "IfNotPresent"})
		return u
	}
	e.apply(t, namespace())
	if _, err := second.Apply(t.Context(), Request{Objects: []*unstructured.Unstructured{namespace()}}); err != nil {
		t.Fatal(err)
	}
	if shared := e.set.Shared(); len(shared) != 0 {
		t.Error(shared)
	}
}

func TestAContentionNamesTheFieldsOfAllRepairs(t *testing.T) {
	e := newTestEnv(t)
	source := func(a, b string) *unstructured.Unstructured {
		u := config("ours")
		u.Object["data"] = map[string]any{"a": a, "b": b}
		return u
	}
	e.apply(t, source("1", "1"))
	var told string
	for i := range 3 {
		changed := ownedBy(owner, source("9", "1"))
		if i == 1 {
			changed = ownedBy(owner, source("1", "9"))
		}
		e.Put("/api/v1/namespaces/ns/configmaps/c", changed)
		for _, c := range e.apply(t, source("1", "1")).Contentions {
			told += profile.Describe(c)
		}
	}
	if !strings.Contains(told, "(.data.a, .data.b)") {
		t.Error(told)
	}
}
