package metric

import (
	"strings"
	"testing"
)

func FuzzRender(f *testing.F) {
	f.Add(`sum(rate(x{ns="{{ namespace }}",q="{{ variables.q }}"}[{{ interval }}]))`)
	f.Add(`{{ variables.missing }}`)
	f.Add(`{{ if }}`)
	f.Fuzz(func(t *testing.T, query string) {
		out, err := render(query, vars{name: "app", interval: "1m", variables: map[string]string{"q": "v"}})
		if err == nil && strings.Contains(out, "<no value>") && !strings.Contains(query, "value") {
			t.Fatalf("a hole in %q", out)
		}
	})
}
