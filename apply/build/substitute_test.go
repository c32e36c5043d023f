// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/envsubst"
)

func TestAVariableNeedsAValueOrADefault(t *testing.T) {
	tests := map[string]struct {
		text  string
		label string
		want  string // "" is an error that names REGION
	}{
		"with a value":             {text: "db.${KNOWN}.example.com", want: "db.yes.example.com"},
		"with an empty value":      {text: "a${EMPTY}b", want: "ab"},
		"with neither":             {text: "db.${REGION}.example.com"},
		"a function of neither":    {text: "${REGION^^}"},
		"the length of neither":    {text: "${#REGION}"},
		"in a default":             {text: "${OTHER:=${REGION}}"},
		"with a default":           {text: "${REGION:=eu}", want: "eu"},
		"with an empty default":    {text: "a${REGION:-}b", want: "ab"},
		"escaped":                  {text: "echo $${REGION}", want: "echo ${REGION}"},
		"of a shell":               {text: "echo $REGION", want: "echo $REGION"},
		"in an object that is out": {text: "echo ${REGION}", label: "disabled", want: "echo ${REGION}"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			manifest := configMap("a", "text: '"+tc.text+"'")
			if tc.label != "" {
				manifest = strings.Replace(manifest, "  name: a\n", "  name: a\n  labels: {kustomize.toolkit.fluxcd.io/substitute: "+tc.label+"}\n", 1)
			}
			got, err := Build(treeOf(t, map[string]string{"a.yaml": manifest}), Spec{Substitution: &Substitution{
				Values: map[string]string{"KNOWN": "yes", "EMPTY": ""},
			}})
			if tc.want == "" {
				if !errors.Is(err, ErrVariable) ||
					!strings.Contains(err.Error(), `ConfigMap/a in a.yaml: substituting variables: variable not set (strict mode): "REGION"`) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if text := got.Objects[0].Object["data"].(map[string]any)["text"]; text != tc.want {
				t.Errorf("got %q, want %q", text, tc.want)
			}
		})
	}
}

func TestSubstitutionHidesSecrets(t *testing.T) {
	tests := map[string]struct{ secret, manifest string }{
		"a value that breaks the YAML":       {"hunter2: [", configMap("a", "text: ${password}")},
		"a value that is quoted in an error": {`hun"ter<2&`, "apiVersion: v1\nkind: ${password}\nmetadata: {name: [a]}\n"},
		"a value of two lines":               {"first-line\nsecond-line: [", configMap("a", "text: ${password}")},
		"a value in the name of a variable":  {"hunter2-secret", configMap("a", "text: ${password")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Build(treeOf(t, map[string]string{"a.yaml": tc.manifest}), Spec{Substitution: &Substitution{
				Values: map[string]string{"password": tc.secret, "letter": "a"}, Secret: []string{tc.secret, "a"},
			}})
			if err == nil {
				return // it became an object, which is what it is for
			}
			for _, part := range []string{"hunter", "ter", "first-line", "second-line"} {
				if strings.Contains(err.Error(), part) {
					t.Errorf("error shows %q: %v", part, err)
				}
			}
			if !strings.Contains(err.Error(), "substituting variables") && !strings.Contains(err.Error(), "name") {
				t.Errorf("error cannot be read: %v", err)
			}
		})
	}
}

func TestSubstitutionIsBounded(t *testing.T) {
	large := strings.Repeat("a", 1<<20)
	for name, text := range map[string]string{
		"a large value many times":    strings.Repeat("${large}", 1000),
		"every letter replaced":       "${large//a/" + strings.Repeat("b", 1000) + "}",
		"a replaced replacement":      "${large//a/${large}}",
		"a pattern cut off":           "${large##*b}",
		"defaults within one another": strings.Repeat("${x:=", 2000) + strings.Repeat("}", 2000),
		"many variables":              strings.Repeat("${small}", 200_000),
		"many objects": "a\n---\n" + configMap("b", "text: ${large}${large}") + "---\n" + configMap("c", "text: ${large}${large}") + "---\n" +
			configMap("d", "text: ${large}"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Build(treeOf(t, map[string]string{"a.yaml": configMap("a", "text: "+text)}), Spec{Substitution: &Substitution{
				Values: map[string]string{"large": large, "small": "s"},
			}})
			if !errors.Is(err, ErrTooLarge) {
				t.Errorf("got %.200v", err)
			}
		})
	}
}

// Whatever a text says, it does not become larger than what was foreseen.
func FuzzSubstitutionBound(f *testing.F) {
	for _, text := range []string{
		"${a}${b}", "${a//x/${b}}", "${a:=${b//y/${a}}}", "${#a}",
		"${a^^}", "${b/#y/zz}${b/%y/zz}", "${a:1:2}", "${a##*x}", "$${a}", "${c:-ß}", "${a//}",
	} {
		f.Add(text, "xxxx", "yß")
	}
	f.Fuzz(func(t *testing.T, text, a, b string) {
		s := &Substitution{Values: map[string]string{"a": a, "b": b}}
		bounds := Bounds{Substituted: 4096}.withDefaults()
		if len(text) > 2000 || s.bound(text, bounds) != nil {
			return
		}
		if out, err := envsubst.Eval(text, s.value); err == nil && int64(len(out)) > bounds.Substituted {
			t.Errorf("%q with %q and %q became %d bytes", text, a, b, len(out))
		}
	})
}
