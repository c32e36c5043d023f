// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/writeback/edit"
)

// release is a commit that changes two objects in two files by two policies.
func release() Changed {
	var c Changed
	outcome := func(kind, name, old, policy string) edit.MarkerResult {
		return edit.MarkerResult{Old: old, New: "app:2", Setter: edit.Setter{Namespace: "apps", Policy: policy},
			Object: edit.Object{APIVersion: "apps/v1", Kind: kind, Name: name}}
	}
	c.add("b.yaml", outcome("Deployment", "web", "app:1", "app"))
	c.add("a.yaml", outcome("Deployment", "worker", "app:0", "app"))
	c.add("a.yaml", outcome("CronJob", "nightly", "app:1", "app"))
	c.add("a.yaml", outcome("Deployment", "web", "app:1", "side"))
	return c
}

func TestMessage(t *testing.T) {
	tests := map[string]struct {
		template, want string
		wantErr        error
	}{
		"none is the default": {template: "", want: "Update from image update automation"},
		"the automation, a value and a sprig function": {
			template: "{{ .AutomationObject }}: {{ .AutomationObject.Name | upper }} {{ .Values.cluster }}",
			want:     "apps/auto: AUTO prod"},
		"files in order": {
			template: "{{ range $file, $_ := .Changed.FileChanges }}{{ $file }} {{ end }}",
			want:     "a.yaml b.yaml "},
		"objects in order, wherever they are": {
			template: "{{ range $o, $changes := .Changed.Objects }}{{ $o.Kind }}/{{ $o.Name }}:" +
				"{{ range $changes }} {{ .OldValue }}->{{ .NewValue }}{{ end }};{{ end }}",
			want: "CronJob/nightly: app:1->app:2;Deployment/web: app:1->app:2 app:1->app:2;Deployment/worker: app:0->app:2;"},
		"each change once, in order": {
			template: "{{ range .Changed.Changes }}{{ .Setter }} {{ .OldValue }};{{ end }}",
			want:     "apps:app app:1;apps:side app:1;apps:app app:0;"},
		"changes by file and object, as the documentation of Flux shows them": {
			template: "{{ range $file, $objects := .Changed.FileChanges -}}\n- File: {{ $file }}\n{{- range $object, $changes := $objects }}\n" +
				"  - {{ $object.Kind }}/{{ $object.Namespace }}/{{ $object.Name }}\n{{- range $_, $change := $changes }}\n" +
				"    {{ $change.OldValue }} -> {{ $change.NewValue }}{{ end -}}\n{{ end -}}\n{{ end -}}\n",
			want: "- File: a.yaml\n  - CronJob//nightly\n    app:1 -> app:2\n  - Deployment//web\n    app:1 -> app:2\n" +
				"  - Deployment//worker\n    app:0 -> app:2- File: b.yaml\n  - Deployment//web\n    app:1 -> app:2"},
		"kinds told apart, and setters where there are some": {
			template: "{{ range $o, $_ := .Changed.Objects }}{{ if eq $o.Kind \"Deployment\" }}{{ $o.Kind | lower }}" +
				"{{ else }}{{ $o.Kind }}{{ end }} {{ end }}{{ range .Changed.Changes }}{{ if .Setter }}{{ .NewValue }} (" +
				"{{ .Setter }}) {{ end }}{{ end }}",
			want: "CronJob deployment deployment app:2 (apps:app) app:2 (apps:side) app:2 (apps:app) "},
		"a value by index, one that is missing, and a literal": {
			template: `{{ index .Values "cluster" }} {{ .Values.none }} {{ "{{" }}`, want: "prod <no value> {{"},
		"a change id, which Gerrit wants to stay the same": {
			template: `{{ $id := printf "%s%s%s" (.Changed.FileChanges | toString) (.Changed.Objects | toString) (.Changed.Changes | toString) }}` +
				`I{{ sha256sum $id | trunc 8 }}`,
			want: "I3e7eb463"},
		"a removed field":       {template: "{{ .Updated.Images }}", wantErr: ErrRemovedField},
		"another removed field": {template: "{{ .Changed.ImageResult }}", wantErr: ErrRemovedField},
		"all of it, as Flux prints it, and how many": {
			template: "{{ range $_, $c := .Changed.Changes }}{{ $c }}{{ end }} {{ len .Changed.Changes }} in {{ .Changed.Files }}",
			want:     "{app:1 app:2 apps:app}{app:1 app:2 apps:side}{app:0 app:2 apps:app} 3 in [a.yaml b.yaml]"},
		"a text without end":     {template: `{{ repeat 1000000000000 "x" }}`, wantErr: ErrMessageBudget},
		"a loop without end":     {template: `{{ range 9223372036854775807 }}{{ end }}`, wantErr: ErrMessageBudget},
		"a list without end":     {template: `{{ range until 3000 }}{{ range until 3000 }}{{ end }}{{ end }}`, wantErr: ErrMessageBudget},
		"a template without end": {template: `{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}`, wantErr: ErrMessageBudget},
		"changes in changes again": {
			template: `{{ range 100000 }}{{ range $.Changed.Changes }}{{ range $.Changed.Objects }}{{ end }}{{ end }}{{ end }}`,
			wantErr:  ErrMessageBudget,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			message, err := ParseMessage(tc.template)
			if err != nil {
				t.Fatal(err)
			}
			runs := 20 // map order would show
			if tc.wantErr != nil {
				runs = 1 // and does not decide where a budget ends, which takes a second
			}
			for range runs {
				got, err := message.Render(t.Context(), MessageData{
					AutomationObject: types.NamespacedName{Namespace: "apps", Name: "auto"},
					Changed:          release(), Values: map[string]string{"cluster": "prod"},
				})
				if got != tc.want || !errors.Is(err, tc.wantErr) {
					t.Fatalf("got %q, error %v; want %q, error %v", got, err, tc.want, tc.wantErr)
				}
			}
		})
	}
}

func TestMessageTemplatesAreHermetic(t *testing.T) {
	for _, function := range []string{
		"env", "expandenv", "now", "randAlpha", "uuidv4", "getHostByName", "genPrivateKey", "derivePassword", "bcrypt",
		"shuffle", "ago",
	} {
		if _, err := ParseMessage("{{ " + function + " }}"); err == nil || !strings.Contains(err.Error(), "not defined") {
			t.Errorf("%s is defined (error %v)", function, err)
		}
	}
}
