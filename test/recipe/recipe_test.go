// SPDX-License-Identifier: Apache-2.0

// Package recipe tries the recipes of CONTRIBUTING.md literally: a toy joins a family
// by changing nothing but the files that the recipe names, and the tests of the family
// have to take it in. A family that wants more from its members than its recipe says
// fails here.
//
// Go files are laid over the tree (go help build, -overlay), so that nothing of it is
// written to and all that is unchanged comes out of the build cache. What tests read
// beside Go is copied to where they run.
package recipe

import (
	"cmp"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

const root = "../.."

// change is what a recipe makes of one file: a new one, or a text after another one.
type change struct {
	file, after, insert string
}

// recipe is how a toy joins a family.
type recipe struct {
	// bullet is how the recipe begins in CONTRIBUTING.md.
	bullet  string
	changes []change
	// written are files that the commands of the recipe write, and what they say of the toy.
	written map[string]string
	// optional are files that the recipe names for members that need them.
	optional []string
	// generators are programs of `make generate` that read the family.
	generators []string
	// packages have the tests of the family, and the folders that these read.
	packages, folders []string
	// tests are patterns of the tests to run, by package; without one all are.
	tests map[string]string
	// passed are tests that are about the toy.
	passed []string
}

func TestAToyRouterJoinsByTheRecipe(t *testing.T) {
	try(t, recipe{
		bullet: "- **A traffic router**",
		changes: []change{
			{"canary/provider/table.go", "var table = []Provider{\n",
				"\t{Name: \"toy\", Product: \"Toy\", Kinds: kinds(\"toy.example.com\", \"ToyRoute\"), Fields: Timeout, " +
					"Queries: Queries{Folder: \"istio\"}},\n"},
			{"canary/router/toy.go", "", file(t, "toy_router.go.txt")},
			{"canary/router/router.go", "var builders = map[string]func(Deps) Router{\n", "\t\"toy\": newToy,\n"},
			{"docs/routers/toy.md", "", file(t, "toy_router.md")},
		},
		written: map[string]string{
			"api/flagger/v1beta1/canary.go": ";toy;", "config/rbac/canary.yaml": "resources: [toyroutes]",
			"docs/routers/README.md": "| `toy` | ToyRoute `<apex>` |", "docs/kinds/metrictemplate.md": "`toy` | `istio_requests_total` |",
		},
		// Those of some routers only, which the toy does not need: it shares queries and counters with Istio, and has the
		// weights where others have them.
		optional: []string{
			"test/contract/examples.go", "canary/metric/counters_answer.go",
			"canary/metric/counters_table.go", "canary/metric/counters_test.go", "canary/router/accepted.go", "canary/router/single.go",
			"canary/router/takeoff.go", "docs/kinds/canary.md", "docs/kinds/targets.md", "test/contract/takeoff.go",
			"test/integration/rbac/kinds_test.go",
			"test/integration/counters/meshes_test.go",
			"canary/provider/fields.go", "canary/router/matrix_test.go", "hack/providers/render.go",
		},
		generators: []string{"hack/providers"},
		packages:   []string{"hack/providers", "canary/provider", "canary/router", "canary/metric", "test/integration/rbac"},
		tests:      map[string]string{"test/integration/rbac": "TestNothingMayBeWrittenThatNoReleaseWrites"},
		folders: []string{"canary/router/testdata", "canary/metric/testdata", "canary/metric/queries", "api/flagger/v1beta1",
			"docs/routers", "docs/kinds", "config/rbac"},
		passed: []string{
			"TestEveryRouterKeepsTheContract/toy/weights_are_read_back_as_they_were_set,_and_set_only_once",
			"TestWithoutTheCRDsTheErrorSaysWhatToInstall/toy", "TestNothingIsLeftToWrite", "TestTheMatrixIsDocumented",
			"TestEveryProviderIsOnAPage", "TestTheTablesOfTheDocsSayWhatIsAsked", "TestNothingMayBeWrittenThatNoReleaseWrites",
		},
	})
}

func TestAToyMetricProviderJoinsByTheRecipe(t *testing.T) {
	try(t, recipe{
		bullet: "- **A metric provider**",
		changes: []change{
			{"canary/metric/toy.go", "", file(t, "toy_metric.go.txt")},
			{"canary/metric/template.go", "var serverTypes = map[string]serverType{\n", "\t\"toy\": {connect: connectToy},\n"},
			{"canary/metric/recordings_test.go", "\treturn map[string]recording{\n", file(t, "toy_recording.go.txt")},
			{"api/flagger/v1beta1/metrictemplate.go", "+kubebuilder:validation:Enum=prometheus;", "toy;"},
			{"docs/kinds/metrictemplate.md", "\n## Providers\n\n| type | address | Secret | query |\n|---|---|---|---|\n",
				"| `toy` | required | | anything |\n\n```yaml\nprovider:\n  type: toy\n  address: https://toy.monitoring\nquery: errors\n```\n"},
		},
		// The toy uses no identity of the controller.
		optional: []string{"canary/metric/connection.go"},
		packages: []string{"canary/metric"},
		folders:  []string{"canary/metric/testdata", "canary/metric/queries", "docs/kinds"},
		passed: []string{
			"TestProvidersConform/toy/asks_what_its_server_understands",
			"TestEveryServerTypeIsInTheAPI/toy",
			"TestTheExamplesOfTheDocsWork",
			"TestTheTableOfTheDocsIsWhole",
		},
	})
}

func try(t *testing.T, r recipe) {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles the tests of a family anew")
	}
	named(t, r)
	tree := t.TempDir()
	for _, folder := range r.folders {
		if err := os.CopyFS(filepath.Join(tree, folder), os.DirFS(filepath.Join(root, folder))); err != nil {
			t.Fatal(err)
		}
	}
	overlay := filepath.Join(tree, "overlay.json")
	write(t, overlay, overlaid(t, tree, r.changes))
	for _, generator := range r.generators {
		run(t, root, "go", "run", "-overlay", overlay, "./"+generator, "-root", tree)
	}
	var log strings.Builder
	for _, dir := range r.packages {
		log.WriteString(pass(t, tree, overlay, dir, cmp.Or(r.tests[dir], ".")))
	}
	for file, want := range r.written {
		text, err := os.ReadFile(filepath.Join(tree, file))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s does not say %q: %v", file, want, err)
		}
	}
	for _, test := range r.passed {
		if !strings.Contains(log.String(), "--- PASS: "+test+" ") {
			t.Errorf("%s did not run, or did not pass", test)
		}
	}
}

// named compares the files that a toy changes with those that its recipe names.
func named(t *testing.T, r recipe) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(page), "\n"+r.bullet)
	if !ok {
		t.Fatalf("CONTRIBUTING.md has no recipe %q", r.bullet)
	}
	text, _, _ = strings.Cut(text, "\n- **")
	want, got := map[string]bool{}, map[string]bool{}
	for _, quoted := range regexp.MustCompile("`([\\w<>.]+/[\\w/<>.-]+\\.(?:go|md|yaml))`").FindAllStringSubmatch(text, -1) {
		want[strings.ReplaceAll(quoted[1], "<name>", "toy")] = true
	}
	for _, c := range r.changes {
		got[c.file] = true
	}
	for _, file := range slices.AppendSeq(slices.Clone(r.optional), maps.Keys(r.written)) {
		got[file] = true
	}
	if diff := gocmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("%s: a toy needs other files (-recipe +toy):\n%s", r.bullet, diff)
	}
}

// overlaid writes the changed files into the tree, and returns what the go command has
// to know of those in Go. A marker of the API's generators is a comment to it, for which all that imports the API
// would be compiled anew.
func overlaid(t *testing.T, tree string, changes []change) string {
	t.Helper()
	replace := map[string]string{}
	for _, c := range changes {
		text, original := c.insert, filepath.Join(root, c.file)
		if c.after != "" {
			data, err := os.ReadFile(original)
			if err != nil {
				t.Fatal(err)
			}
			before, rest, ok := strings.Cut(string(data), c.after)
			if !ok {
				t.Fatalf("%s has no %q", c.file, c.after)
			}
			text = before + c.after + c.insert + rest
		}
		changed := filepath.Join(tree, c.file)
		write(t, changed, text)
		if marker := strings.HasPrefix(c.after, "+kubebuilder:"); filepath.Ext(c.file) == ".go" && !marker {
			absolute, err := filepath.Abs(original)
			if err != nil {
				t.Fatal(err)
			}
			replace[absolute] = changed
		}
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// pass runs tests of a package in the tree: once to rewrite its golden files, as a
// recipe says, and once for good.
func pass(t *testing.T, tree, overlay, dir, tests string) string {
	t.Helper()
	at, binary := filepath.Join(tree, dir), filepath.Join(tree, strings.ReplaceAll(dir, "/", "-")+".test")
	if err := os.MkdirAll(at, fs.ModePerm); err != nil {
		t.Fatal(err)
	}
	run(t, root, "go", "test", "-c", "-ldflags=-s -w", "-overlay", overlay, "-o", binary, "./"+dir)
	if help := run(t, at, binary, "-h"); strings.Contains(help, "-update\n") {
		run(t, at, binary, "-update")
	}
	return run(t, at, binary, "-test.v", "-test.run", tests)
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil && !slices.Contains(args, "-h") {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, failures(out))
	}
	return string(out)
}

// failures leaves out the tests that passed.
func failures(out []byte) string {
	var kept []string
	for line := range strings.Lines(string(out)) {
		if !regexp.MustCompile(`^\s*(=== |--- (PASS|SKIP))`).MatchString(line) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func file(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), fs.ModePerm); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
