// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"strings"
	"testing"
)

func TestQueriesThatNeverEnd(t *testing.T) {
	for _, query := range []string{
		`{{ define "a" }}{{ if . }}{{ template "a" slice . 1 }}{{ template "a" slice . 1 }}{{ end }}{{ end }}{{ template "a" "` +
			strings.Repeat("x", 64) + `" }}`,
		`{{ range 1000000000 }}x{{ end }}`,
		`{{ range 9223372036854775807 }}{{ end }}`,
		`{{ range 5000 }}{{ range 5000 }}{{ end }}{{ end }}`,
		`{{ printf "%1000000000d" 1 | len }}`,
		`{{ html (printf "%100000000s" "<") | len }}`,
		`{{ range 100000 }}{{ printf "%1000d" 1 | len }}{{ end }}`,
	} {
		if out, err := render(t.Context(), query, templateVars{}); err == nil {
			t.Errorf("%.40s: became %d bytes", query, len(out))
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add(`sum(rate(x{ns="{{ namespace }}",q="{{ variables.q }}"}[{{ interval }}]))`)
	f.Add(`{{ variables.missing }}`)
	f.Add(`{{ if }}`)
	f.Fuzz(func(t *testing.T, query string) {
		out, err := render(t.Context(), query, templateVars{name: "app", interval: "1m", variables: map[string]string{"q": "v"}})
		if err == nil && strings.Contains(out, "<no value>") && !strings.Contains(query, "value") {
			t.Fatalf("a hole in %q", out)
		}
	})
}
