// SPDX-License-Identifier: Apache-2.0

package background

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/client-go/tools/cache"
)

func TestAPanicIsAnError(t *testing.T) {
	failed := errors.New("failed")
	for name, tc := range map[string]struct {
		work func() error
		want string
	}{
		"work that fails":      {func() error { return failed }, "failed"},
		"work that panics":     {func() error { panic("no such index") }, "panic: no such index [recovered]"},
		"a nil map":            {func() error { none := map[string]map[string]int{}; none["a"]["a"] = 1; return nil }, "nil map"},
		"work that does it":    {func() error { return nil }, ""},
		"an error that panics": {func() error { panic(failed) }, "failed"},
	} {
		err := Try(t.Context(), tc.work)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if Run(t.Context(), func() { panic("x") }) || !Run(t.Context(), func() {}) {
		t.Error("Run does not tell a panic from an end")
	}
}

func TestAHandlerOfAnInformerSurvivesAPanic(t *testing.T) {
	var seen []string
	note := func(object any) {
		seen = append(seen, object.(string))
		if object == "bad" {
			panic("no such index")
		}
	}
	handler := EventHandler(t.Context(), cache.ResourceEventHandlerFuncs{
		AddFunc: note, UpdateFunc: func(_, after any) { note(after) }, DeleteFunc: note,
	})
	for _, object := range []string{"bad", "good"} {
		handler.OnAdd(object, true)
		handler.OnUpdate("before", object)
		handler.OnDelete(object)
	}
	if got := strings.Join(seen, " "); got != "bad bad bad good good good" {
		t.Errorf("handled %s", got)
	}
}
