// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
)

// shown hides nothing.
func shown(text string) string { return text }

func TestManyWarningsAreNotAWall(t *testing.T) {
	e := newTestEnv(t)
	e.Warn = func(apiserver.Request) []string { return []string{strings.Repeat("x", 1000)} }
	var objects []*unstructured.Unstructured
	for i := range 100 {
		u := config("1")
		u.SetName(fmt.Sprint("d", i))
		objects = append(objects, u)
	}
	text := e.apply(t, objects...).Warnings(shown)
	if len(text) > 8192 || !strings.HasSuffix(text, "and of 80 more objects") {
		t.Errorf("%d bytes: %.200s", len(text), text)
	}
}

func TestAWarningOfTheAPIServerIsTold(t *testing.T) {
	e := newTestEnv(t)
	var warnings []string
	e.Warn = func(r apiserver.Request) []string {
		if r.Method != http.MethodPatch {
			return nil
		}
		return warnings
	}
	steps := []struct {
		what     string
		value    string
		warnings []string
		says     string
	}{
		{"a new object", "1", []string{"v1 is deprecated", "use v2"}, "ConfigMap/ns/c: v1 is deprecated; use v2"},
		{"the same again", "1", []string{"v1 is deprecated", "use v2"}, ""},
		{"a change", "2", []string{"v1 is deprecated"}, "ConfigMap/ns/c: v1 is deprecated"},
		{"another change, without a warning", "3", nil, ""},
	}
	for _, step := range steps {
		warnings = step.warnings
		got := e.apply(t, config(step.value)).Warnings(shown)
		if (got == "") != (step.says == "") || !strings.Contains(got, step.says) {
			t.Errorf("%s: %q, want %q", step.what, got, step.says)
		}
	}
}

func TestAWarningAboutASecretQuotesNothingOfIt(t *testing.T) {
	e := newTestEnv(t)
	e.Warn = func(apiserver.Request) []string { return []string{`password "hunter2" is weak`} }
	secret := unstructuredOf("v1", "Secret", "s")
	secret.SetNamespace("ns")
	got := e.apply(t, secret).Warnings(shown)
	if !strings.Contains(got, "Secret/ns/s: ") || strings.Contains(got, "hunter2") {
		t.Error(got)
	}
}

func TestAHiddenValueIsNotCutIntoAShownOne(t *testing.T) {
	var o Result
	o.warnings.add(inventory.IDOf(unstructuredOf("v1", "ConfigMap", "c")), []string{strings.Repeat("x", maxRemarkLength-20) + "secretsecret"})
	got := o.Warnings(func(text string) string { return strings.ReplaceAll(text, "secretsecret", "*****") })
	if strings.Contains(got, "sec") {
		t.Error(got)
	}
}

func TestWarningsAreBounded(t *testing.T) {
	e := newTestEnv(t)
	e.Warn = func(apiserver.Request) []string { return slices.Repeat([]string{strings.Repeat("x", 1000)}, 100) }
	e.apply(t, config("1"))
	if n := len(e.set.tracker.applied[inventory.IDOf(config("1"))].Warnings); n != maxWarnings/1000 {
		t.Errorf("%d warnings are kept", n)
	}
}
