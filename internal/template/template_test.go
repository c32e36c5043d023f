// SPDX-License-Identifier: Apache-2.0

package template_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/Masterminds/sprig/v3"
	"github.com/google/go-cmp/cmp"

	sluice "github.com/sluice-cd/sluice/internal/template"
)

// language has more time than it needs: a loaded machine is no reason to fail.
var language = sluice.Language{Name: "text", Functions: sluice.Functions(), Limits: unhurried()}

func unhurried() sluice.Limits {
	limits := sluice.DefaultLimits
	limits.Time = 5 * time.Minute
	return limits
}

type part struct{ Name, Value string }

type values struct {
	Values map[string]string
	Parts  []part
	Groups map[string][]part
	Count  int
}

func data() values {
	parts := []part{{"a", "1"}, {"b", "2"}, {"c", "3"}}
	return values{
		Values: map[string]string{"cluster": "prod"}, Parts: parts, Count: 3,
		Groups: map[string][]part{"y": parts[1:], "x": parts[:1]},
	}
}

// render is what a template says that nothing limits.
func render(t *testing.T, source string) string {
	t.Helper()
	var text strings.Builder
	if err := template.Must(template.New("").Funcs(sprig.TxtFuncMap()).Parse(source)).Execute(&text, data()); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestTemplatesSayWhatTheySayWithoutLimits(t *testing.T) {
	for name, source := range map[string]string{
		"text": "nothing to fill in",
		"fields, methods and what is missing": `{{ .Values.cluster }} {{ .Values.none }} {{ .Count }} ` +
			`{{ index .Values "cluster" }} {{ index .Values "none" }}`,
		"values of all kinds": `{{ . }} {{ .Parts }} {{ .Groups }} {{ "" | default "x" }} {{ 1.5 }} {{ true }} {{ "a" }}`,
		"loops over all kinds": `{{ range .Parts }}{{ .Name }}{{ end }}{{ range $i, $p := .Parts }}{{ $i }}{{ $p.Value }}{{ end }}` +
			`{{ range $k, $v := .Groups }}{{ $k }}{{ range $v }}{{ .Name }}{{ end }}{{ end }}{{ range 3 }}` +
			`{{ . }}{{ end }}{{ range .Values.none }}x{{ else }}none{{ end }}`,
		"loops that end early": `{{ range .Parts }}{{ if eq .Name "b" }}{{ continue }}{{ end }}` +
			`{{ .Name }}{{ if eq .Name "c" }}{{ break }}{{ end }}{{ end }}`,
		"with, if and variables": `{{ $n := 0 }}{{ range .Parts }}{{ $n = add $n 1 }}{{ end }}` +
			`{{ $n }}{{ with .Values.cluster }}{{ . | upper }}{{ else }}-{{ end }}` +
			`{{ if and .Count (gt .Count 2) }}many{{ else if .Count }}few{{ end }}`,
		"templates in templates": `{{ define "part" }}{{ .Name }}={{ .Value }};{{ end }}` +
			`{{ range .Parts }}{{ template "part" . }}{{ end }}{{ block "tail" .Count }}{{ . }}{{ end }}`,
		"a tree by a template that calls itself": `{{ define "down" }}{{ . }}{{ if gt . 0 }}` +
			`{{ template "down" (sub . 1 | int) }}{{ end }}{{ end }}{{ template "down" .Count }}`,
		"spaces that are trimmed": "{{- range .Parts }}\n- {{ .Name -}}\n{{ end }}",
		"functions of the package": `{{ print 1 "a" 2 }}{{ println "x" }}{{ printf "%-5s|%05.1f|%q|%[1]s|%%" "a" 1.25 }}` +
			`{{ html "<a>" }}{{ js "'" }}{{ urlquery "a b" }}{{ len .Parts }}{{ slice .Parts 1 2 }}{{ not true }}`,
		"functions of sprig": `{{ "a b" | title | quote }}{{ list 1 2 3 | join "-" }}{{ dict "a" 1 | toJson }}{{ "x" | repeat 3 | indent 2 }}` +
			`{{ seq 1 2 7 }}{{ until 4 }}{{ untilStep 0 10 4 }}{{ regexReplaceAll "a(x*)b" "-ab-axxb-" "${1}W" }}` +
			`{{ regexFindAll "[a-z]+" "ab 1 cd" -1 }}` +
			`{{ splitList "/" "a/b" | last }}{{ (split "/" "a/b")._1 }}{{ "abcdef" | trunc 3 }}{{ chunk 2 (list 1 2 3) }}{{ uniq (list 1 1 2) }}` +
			`{{ ternary "a" "b" true }}{{ sha256sum "x" }}{{ semverCompare "^1.2" "1.3.0" }}{{ replace "a" "bb" "aXa" }}` +
			`{{ wrapWith 3 "|" "abc def" }}{{ coalesce "" "x" }}{{ get (set (dict) "k" "v") "k" }}`,
	} {
		t.Run(name, func(t *testing.T) {
			parsed, err := language.Parse(source)
			if err != nil {
				t.Fatal(err)
			}
			want := render(t, source)
			for range 2 {
				got, err := parsed.Execute(t.Context(), data())
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					t.Errorf("error %v (-want +got):\n%s", err, diff)
				}
			}
		})
	}
}

// A template with a field that there is not was refused when it ran, which is when something
// was to be written for the first time, or only when the branch with it was taken.
func TestFieldsThatThereAreNotAreRefusedBeforeATemplateRuns(t *testing.T) {
	const all = "there are .Values, .Parts, .Groups, .Count"
	of := language
	of.Data, of.Strict = data(), true
	for name, tc := range map[string]struct{ source, want string }{
		"a field":                        {"a\nb {{ .Part }}", "text:2:5: there is no field .Part here: " + all},
		"in a branch that is not taken":  {`{{ if false }}{{ .Part }}{{ end }}`, all},
		"in the other branch":            {`{{ if true }}{{ else if .Count }}{{ else }}{{ .Part }}{{ end }}`, all},
		"in a condition":                 {`{{ if and .Count .Part }}{{ end }}`, all},
		"behind what is with dot":        {`{{ with .Count }}{{ else }}{{ .Part }}{{ end }}`, all},
		"of the parts of a list":         {`{{ range .Parts }}{{ .Nam }}{{ end }}`, "there is no field .Nam here: there are .Name, .Value"},
		"of the whole, inside of a loop": {`{{ range .Parts }}{{ $.Name }}{{ end }}`, all},
		"of a variable of a loop":        {`{{ range $i, $p := .Parts }}{{ $p.Nam }}{{ end }}`, "there are .Name, .Value"},
		"of lists in maps":               {`{{ range $k, $v := .Groups }}{{ range $v }}{{ .Nam }}{{ end }}{{ end }}`, "there are .Name, .Value"},
		"of a variable":                  {`{{ $w := . }}{{ range .Parts }}{{ $w.Name }}{{ end }}`, all},
		"of what is in parentheses":      {`{{ (.Values).cluster.name }}`, "there is no field .name here: this is a value of kind string"},
		"as an argument":                 {`{{ printf "%s" (.Part | upper) }}`, all},
		"in a template that is called":   {`{{ define "a" }}{{ .Nam }}{{ end }}{{ range .Parts }}{{ template "a" . }}{{ end }}`, ".Name, .Value"},
		"of a number":                    {`{{ .Count.Total }}`, "there is no field .Total here: this is a value of kind int"},
		"a key of a map":                 {`{{ .Values.clustr }}`, "there is no field .clustr here: there are .cluster"},

		"what functions return may have any":    {`{{ with first .Parts }}{{ .Anything }}{{ end }}`, ""},
		"a variable with other values later on": {`{{ $a := .Values }}{{ range .Parts }}{{ $a.Name }}{{ $a = . }}{{ end }}`, ""},
		"a variable that only the first of two branches declares": {
			`{{ $x := . }}{{ if .Count }}{{ $x := index .Parts 0 }}{{ $x.Name }}{{ else }}{{ $x.Count }}{{ end }}`, ""},
		"a template that nobody calls": {`{{ define "a" }}{{ .Anything }}{{ end }}`, ""},
		"a template that calls itself": {`{{ define "a" }}{{ .Count }}{{ template "a" . }}{{ end }}{{ template "a" . }}`, ""},
		"all of what there is": {
			`{{ .Count }}{{ .Values.cluster }}{{ range .Groups }}{{ range . }}{{ .Name }}{{ end }}{{ else }}{{ .Parts }}{{ end }}` +
				`{{ with $p := index .Parts 0 }}{{ $p.Name }}{{ $.Count }}{{ end }}{{ block "b" . }}{{ .Count }}{{ end }}`, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := of.Parse(tc.source)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestATemplateCannotTakeMoreThanItsBudget(t *testing.T) {
	const a, big = `{{ $a := repeat 60000 "a" }}`, `{{ $a := repeat 2000000 "a" }}`
	for name, source := range map[string]string{
		"a long loop":                 `{{ range 9223372036854775807 }}{{ end }}`,
		"a long loop over text":       `{{ range 9223372036854775807 }}text{{ end }}`,
		"a long loop of conditions":   `{{ range 500000 }}` + strings.Repeat(`{{ if 1 }}{{ end }}`, 1000) + `{{ end }}`,
		"loops in loops":              `{{ range until 3000 }}{{ range until 3000 }}{{ end }}{{ end }}`,
		"loops over numbers in loops": `{{ range 3000 }}{{ range 3000 }}{{ end }}{{ end }}`,
		"a sorted map in a loop": `{{ $d := dict }}{{ range until 20000 }}{{ $_ := set $d (toString .) 1 }}{{ end }}` +
			`{{ range 500000 }}{{ range $d }}{{ break }}{{ end }}{{ end }}`,
		"a template that calls itself": `{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}`,
		"a template that calls itself twice": `{{ define "a" }}{{ if gt . 0 }}{{ template "a" (sub . 1) }}` +
			`{{ template "a" (sub . 1) }}{{ end }}{{ end }}{{ template "a" 60 }}`,
		"templates that double": doubling(40),
		"itself":                `{{ template "text" . }}`,

		"a text that is repeated":                `{{ repeat 1000000000000 "x" }}`,
		"a text that is repeated twice":          `{{ "x" | repeat 60000 | repeat 60000 | len }}`,
		"a list of numbers":                      `{{ until 30000000 | len }}`,
		"a list in steps":                        `{{ untilStep 0 9223372036854775807 9223372036854775806 | len }}`,
		"a list in steps downwards":              `{{ untilStep 9223372036854775807 -9223372036854775807 -1 }}`,
		"a text of numbers":                      `{{ seq 1000000000 }}`,
		"a text of numbers in steps":             `{{ seq 0 9223372036854775806 9223372036854775807 }}`,
		"much indentation":                       `{{ indent 1000000000 "x" }}`,
		"much indentation of lines":              `{{ "\n" | repeat 60000 | nindent 60000 }}`,
		"a replacement":                          a + `{{ replace "a" $a $a | len }}`,
		"a replacement of nothing":               a + `{{ replace "" $a $a | len }}`,
		"a replacement by an expression":         a + `{{ regexReplaceAll "a*" $a (repeat 30000 "$0") | len }}`,
		"a literal replacement":                  a + `{{ regexReplaceAllLiteral "a" $a $a | len }}`,
		"a separator":                            a + `{{ until 50000 | join $a | len }}`,
		"a separator of lines":                   a + `{{ wrapWith 1 $a $a | len }}`,
		"a wide field":                           `{{ printf "%1000000d" 1 }}`,
		"many wide fields":                       `{{ printf (repeat 30000 "%[1]1000000d") 1 | len }}`,
		"a field as wide as an argument":         `{{ printf "%*d" 1000000 1 }}`,
		"one argument many times":                a + `{{ printf (repeat 30000 "%[1]s") $a | len }}`,
		"one list many times":                    `{{ printf (repeat 30000 "%[1]d") (until 1000) | len }}`,
		"a field as wide for each of a list":     `{{ printf "%1000d" (until 200000) | len }}`,
		"a precise field for each of a list":     `{{ printf "%.1000d" (until 200000) | len }}`,
		"lists that differ at their ends":        distinctLists + `{{ uniq $l | len }}`,
		"lists without other lists":              distinctLists + `{{ without $l $l $l $l $l $l $l | len }}`,
		"an expression that looks ahead":         a + `{{ regexFindAll "a*b|a" $a -1 | len }}`,
		"an expression that looks far ahead":     a + `{{ regexFindAll "(a?){400}b|a" $a -1 | len }}`,
		"a replacement that looks ahead":         a + `{{ regexReplaceAll "a*b|a" $a "" | len }}`,
		"a split that looks ahead":               a + `{{ regexSplit "a*b|a" $a -1 | len }}`,
		"a quoted argument many times":           a + `{{ printf (repeat 1000 "%[1]q") $a | len }}`,
		"a list that doubles":                    `{{ $l := list 1 }}{{ range 60 }}{{ $l = list $l $l }}{{ end }}{{ $l | toString | len }}`,
		"a text that doubles":                    `{{ $l := "x" }}{{ range 60 }}{{ $l = print $l $l }}{{ end }}{{ len $l }}`,
		"a text that doubles as JSON":            `{{ $l := "\\" }}{{ range 60 }}{{ $l = toJson $l }}{{ end }}{{ len $l }}`,
		"a dictionary that has itself":           `{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ $d }}`,
		"dictionaries that have each other":      `{{ $d := dict }}{{ $e := dict "d" $d }}{{ $_ := set $d "e" $e }}{{ toJson $e }}`,
		"a list of a big list that is sought in": `{{ $l := until 200000 }}{{ uniq $l | len }}`,
		"a small chunk":                          `{{ chunk 0 (list 1 2) }}`,
		"an expensive expression":                big + `{{ regexMatch "(a?){200}(a{200}){5}b" $a }}`,
		"a long expression":                      `{{ regexMatch (repeat 60000 "a{1000}") "a" }}`,
		"many set apart":                         big + `{{ splitList "" $a | len }}`,
		"many things to keep":                    `{{ $l := list }}{{ range 1000000 }}{{ $l = append $l (repeat 1000 "x") }}{{ end }}`,
		"a long text":                            `{{ range 2000 }}` + strings.Repeat("x", 1000) + `{{ end }}`,
		"a long text by templates": `{{ define "x" }}` + strings.Repeat("x", 1000) +
			`{{ end }}{{ range 2000 }}{{ template "x" }}{{ end }}`,
	} {
		t.Run(name, func(t *testing.T) {
			parsed, err := language.Parse(source)
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			text, err := parsed.Execute(t.Context(), data())
			runtime.ReadMemStats(&after)
			if !errors.Is(err, sluice.ErrBudget) {
				t.Errorf("got %d bytes, error %v; want %v", len(text), err, sluice.ErrBudget)
			}
			if allocated := (after.TotalAlloc - before.TotalAlloc) >> 20; allocated > 400 {
				t.Errorf("it allocated %d MiB", allocated)
			}
		})
	}
}

// distinctLists makes $l of lists of which only the last elements differ.
const distinctLists = `{{ $l := printf "[[%s]]" (until 3000 | join (printf "],[%s" (repeat 50 "0,"))) | fromJson }}`

// doubling are templates of which each calls the one before twice.
func doubling(n int) string {
	text := `{{ define "t0" }}{{ end }}`
	for i := 1; i <= n; i++ {
		text += fmt.Sprintf(`{{ define "t%d" }}{{ template "t%d" }}{{ template "t%d" }}{{ end }}`, i, i-1, i-1)
	}
	return text + fmt.Sprintf(`{{ template "t%d" }}`, n)
}

func TestATemplateIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		source string
		want   string
	}{
		"that makes a key":                {`{{ genPrivateKey "rsa" }}`, `function "genPrivateKey" not defined`},
		"that derives a password":         {`{{ derivePassword 1 "long" "a" "b" "c" }}`, `function "derivePassword" not defined`},
		"that reads the environment":      {`{{ env "HOME" }}`, `function "env" not defined`},
		"that asks the network":           {`{{ getHostByName "x" }}`, `function "getHostByName" not defined`},
		"that changes its own budget":     {`{{ sluice_turn -1000000 }}`, `function "sluice_turn" not defined`},
		"that is not a template":          {`{{ if }}`, "missing value for if"},
		"that is longer than a field has": {strings.Repeat("x", 1<<20), "it is longer than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := language.Parse(tc.source); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestWhatFailsInATemplateIsSaid(t *testing.T) {
	strict := sluice.Language{Name: "query", Strict: true, Limits: unhurried(), Functions: template.FuncMap{
		"variables": func() map[string]string { return map[string]string{"a": "1"} },
		"boom":      func() (string, error) { return "", errors.New("boom") },
		"panics":    func() string { panic("at the disco") },
	}}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tc := range map[string]struct {
		ctx          context.Context
		source, want string
	}{
		"a key that is missing":  {t.Context(), `{{ variables.b }}`, `map has no entry for key "b"`},
		"an error of a function": {t.Context(), `{{ boom }}`, "error calling boom: boom"},
		"a function that panics": {t.Context(), `{{ panics }}`, "at the disco"},
		"a caller who is gone":   {cancelled, `x`, "executing the query: context canceled"},
		"too much, without a place": {
			t.Context(),
			`{{ range 100000000 }}{{ end }}`,
			"executing the query: the template exceeds what templates may do: it loops too often, or makes too much of its values",
		},
	} {
		t.Run(name, func(t *testing.T) {
			parsed, err := strict.Parse(tc.source)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parsed.Execute(tc.ctx, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestAnErrorOfATemplateIsShort(t *testing.T) {
	for name, source := range map[string]string{
		"that the template makes":   `{{ fail (repeat 1000000 "x") }}`,
		"with a value":              `{{ semver (repeat 1000000 "x") }}`,
		"with an expression":        `{{ mustRegexMatch (repeat 1000 "(") "x" }}`,
		"with a name":               `{{ template "` + strings.Repeat("x", 60000) + `" }}`,
		"with a name that is wrong": `{{ ` + strings.Repeat("x", 60000) + ` }}`,
		"with a field":              `{{ .` + strings.Repeat("x", 60000) + ` }}`,
	} {
		t.Run(name, func(t *testing.T) {
			parsed, err := language.Parse(source)
			if err == nil {
				_, err = parsed.Execute(t.Context(), data())
			}
			if err == nil || len(err.Error()) > 2000 {
				t.Errorf("got an error of %d bytes", len(fmt.Sprint(err)))
			}
		})
	}
}

func TestATemplateHasSoMuchTime(t *testing.T) {
	hurried := language
	hurried.Limits.Time = time.Nanosecond
	parsed, err := hurried.Parse(`{{ range 10 }}{{ end }}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parsed.Execute(t.Context(), nil); !errors.Is(err, sluice.ErrBudget) ||
		!strings.Contains(err.Error(), "it runs for more than 1ns") {
		t.Errorf("error %v", err)
	}
}

func TestManyThingsCanBeListed(t *testing.T) {
	var many values
	for i := range 10_000 {
		many.Parts = append(many.Parts, part{fmt.Sprint("registry.example.com/team/app-", i), "1.0.0"})
	}
	parsed, err := language.Parse(`{{ range .Parts }}- {{ .Name | trimPrefix "registry." | quote }} is ` +
		`{{ .Value }}{{ "\n" }}{{ end }}{{ .Parts | toString | sha256sum }}`)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := parsed.Execute(t.Context(), many); err != nil || strings.Count(text, "\n") != 10_000 {
		t.Errorf("got %d bytes, error %v", len(text), err)
	}
}

func TestEveryFunctionIsThere(t *testing.T) {
	for name, f := range sluice.Functions() {
		if f == nil {
			t.Errorf("sprig has no function %s", name)
		}
	}
}

func FuzzTemplatesEnd(f *testing.F) {
	for _, source := range []string{
		`{{ range .Parts }}{{ .Name }}{{ end }}`,
		`{{ repeat 10 "x" }}`,
		`{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}`,
	} {
		f.Add(source)
	}
	f.Fuzz(func(_ *testing.T, source string) {
		if parsed, err := language.Parse(source); err == nil {
			_, _ = parsed.Execute(context.Background(), data())
		}
	})
}
