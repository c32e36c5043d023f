// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/test/golden"
)

// commands are what prints which report.
var commands = []struct {
	text   string
	report any
}{
	{"`sluice get images`", report.List[report.Image]{}},
	{"`sluice get automations`", report.List[report.Automation]{}},
	{"`sluice get all`, `sluice get sources`, `sluice get kustomizations`, `sluice get receivers`, `sluice get alerts`",
		report.List[report.Resource]{}},
	{"the same with `--watch` (JSON only, one a line)", report.Resource{}},
	{"`sluice get canaries`, `sluice canary get`", report.List[report.Canary]{}},
	{"`sluice canary describe`", report.CanaryDescription{}},
	{"`sluice canary watch` (JSON only, one a line)", report.CanaryTransition{}},
	{"`sluice get pipelines`, `sluice pipeline get`", report.List[report.Pipeline]{}},
	{"`sluice explain pipeline`", report.Pipeline{}},
	{"`sluice pipeline describe`", report.PipelineDescription{}},
	{"`sluice pipeline history`", report.List[report.PipelineLanding]{}},
	{"`sluice pipeline watch` (JSON only, one a line)", report.PipelineTransition{}},
	{"`sluice get freezes`", report.List[report.Freeze]{}},
	{"`sluice explain policy`", report.Explanation{}},
	{"`sluice explain automation`", report.AutomationMarkers{}},
	{"`sluice judge plan`", report.List[report.JudgeDelay]{}},
	{"`sluice judge simulate`", report.List[report.JudgeSimulation]{}},
	{"`sluice judge replay`", report.List[report.ReplayedRelease]{}},
	{"`sluice events`", report.List[report.TimelineEvent]{}},
	{"the same with `--watch` (JSON only, one a line)", report.TimelineEvent{}},
	{"`sluice trace`", report.Trace{}},
	{"`sluice tree`", report.TreeNode{}},
	{"`sluice list artifacts`", report.List[report.Artifact]{}},
	{"`sluice push artifact`", report.PushedArtifact{}},
	{"`sluice ui` (`/api/v1/lanes`)", report.List[report.Lane]{}},
	{"`sluice ui` (`/api/v1/commits/KIND/NAMESPACE/NAME/COMMIT`)", report.Commit{}},
	{"`sluice ui` (`repairs` of `/api/v1/objects/Kustomization/NAMESPACE/NAME`)", report.Repair{}},
	{"`sluice update`", report.DirectoryMarkers{}},
}

const introduction = `# What programs are told

The fields of ` + "`-o json` and `-o yaml`" + `, which a user interface reads as well. Generated from package
` + "`report` by `go test ./report -run Docs -update`" + `, so that nothing here differs from what is printed.

The fields are a contract: new ones may come, and none is renamed, removed or given another meaning. Read what you know and
leave the rest. A field that is not marked *always* is left out when there is nothing to say; a list that is marked so and
has no elements is ` + "`[]`" + `. Times are as in RFC 3339. What people wrote (messages, names of those who gave commands) may
hold any character.

`

// TestDocsAreCurrent compares docs/report.md with the types; -update writes it.
func TestDocsAreCurrent(t *testing.T) {
	page := &page{t: t, comments: map[string]map[string]string{}, listed: map[reflect.Type]bool{}}
	page.text.WriteString(introduction + "| Command | prints |\n|---|---|\n")
	for _, c := range commands {
		fmt.Fprintf(&page.text, "| %s | %s |\n", c.text, page.nameOf(reflect.TypeOf(c.report)))
	}
	for len(page.pending) > 0 {
		next := page.pending[0]
		page.pending = page.pending[1:]
		page.table(next)
	}
	golden.Compare(t, "../docs/report.md", page.text.String())
}

// page is docs/report.md as it is written.
type page struct {
	t       *testing.T
	text    strings.Builder
	pending []reflect.Type
	listed  map[reflect.Type]bool
	// comments are those of fields, by package path and Type.Field.
	comments map[string]map[string]string
}

// nameOf is a type in words. The types of this module get a table of their own.
func (p *page) nameOf(of reflect.Type) string {
	switch {
	case of.Kind() == reflect.Pointer:
		return p.nameOf(of.Elem())
	case of == reflect.TypeFor[time.Time](), of == reflect.TypeFor[metav1.Time](), of == reflect.TypeFor[metav1.MicroTime]():
		return "time"
	case of.Kind() == reflect.Slice:
		return "list of " + p.nameOf(of.Elem())
	case of.Kind() == reflect.Map:
		return "map of string to " + p.nameOf(of.Elem())
	case of.Kind() == reflect.Struct && strings.HasPrefix(of.Name(), "List["):
		items, _ := of.FieldByName("Items")
		return "`items`: " + p.nameOf(items.Type)
	case of.Kind() == reflect.Struct:
		if !p.listed[of] {
			p.listed[of] = true
			p.pending = append(p.pending, of)
		}
		return fmt.Sprintf("[%s](#%s)", of.Name(), strings.ToLower(of.Name()))
	case of.Kind() == reflect.Float64, of.Kind() == reflect.Int, of.Kind() == reflect.Int64:
		return "number"
	case of.Kind() == reflect.Bool:
		return "boolean"
	case of.Kind() == reflect.String:
		return "string"
	}
	p.t.Fatalf("%v has no name in the contract", of)
	return ""
}

func (p *page) table(of reflect.Type) {
	fmt.Fprintf(&p.text, "\n## %s\n\n", of.Name())
	if about := p.comment(of, ""); about != "" {
		p.text.WriteString(about + "\n\n")
	}
	p.text.WriteString("| Field | Type | |\n|---|---|---|\n")
	for i := range of.NumField() {
		field := of.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && name == "" {
			fmt.Fprintf(&p.text, "| | | and all fields of %s |\n", p.nameOf(field.Type))
			continue
		}
		if name == "" || !field.IsExported() {
			p.t.Errorf("%s.%s has no name in JSON", of, field.Name)
		}
		about := p.comment(of, field.Name)
		if about == "" && strings.HasSuffix(of.PkgPath(), "/report") {
			p.t.Errorf("%s.%s says nothing about itself", of, field.Name)
		}
		if !strings.Contains(options, "omit") {
			about = strings.TrimSpace("*Always.* " + about)
		}
		fmt.Fprintf(&p.text, "| `%s` | %s | %s |\n", name, p.nameOf(field.Type), strings.ReplaceAll(about, "|", `\|`))
	}
}

// comment is the first paragraph of the comment of a type, or of one of its fields.
func (p *page) comment(of reflect.Type, field string) string {
	if p.comments[of.PkgPath()] == nil {
		p.comments[of.PkgPath()] = p.read(of.PkgPath())
	}
	text := p.comments[of.PkgPath()][of.Name()+"."+field]
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "+") {
			break
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, " ")
}

// read reads the comments of a package of this module.
func (p *page) read(path string) map[string]string {
	dir := filepath.Join("..", strings.TrimPrefix(path, "github.com/sluice-cd/sluice/"))
	found := map[string]string{}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		p.t.Fatalf("the source of %s is not in %s: %v", path, dir, err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, decl := range file.Decls {
			general, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range general.Specs {
				is, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				found[is.Name.Name+"."] = general.Doc.Text()
				fields, ok := is.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, field := range fields.Fields.List {
					for _, name := range field.Names {
						found[is.Name.Name+"."+name.Name] = field.Doc.Text()
					}
				}
			}
		}
	}
	return found
}

func TestListsAreNeverNull(t *testing.T) {
	for name, empty := range map[string]any{
		"a list":         report.ListOf(nil, func(*int) string { return "" }),
		"an explanation": report.Explain(policyOf(t, "1.x"), ruleOf(t, "1.x"), slices.Values([]string(nil))).Tags,
		"a limited one":  report.Explain(policyOf(t, "1.x"), ruleOf(t, "1.x"), slices.Values([]string(nil))).Limited(1).Tags,
	} {
		text, err := json.Marshal(empty)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "[]") {
			t.Errorf("%s: got %s", name, text)
		}
	}
}
