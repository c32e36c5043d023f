// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
)

const docs = "../../docs/"

// manifest is a document of YAML, and the file in which it stands.
type manifest struct {
	file string
	text []byte
}

// manifests are those of the samples and of the pages of promotion.
func manifests(t *testing.T) []manifest {
	t.Helper()
	var found []manifest
	for _, file := range files(t, "../../config/samples/*.yaml", "../../config/samples/pipelines/*.yaml",
		tutorialFiles+"*.yaml") {
		found = append(found, documents(t, file, read(t, file))...)
	}
	block := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	for _, file := range files(t, docs+"promotion.md", docs+"promotion/*.md", docs+"kinds/pipeline.md", docs+"kinds/freeze.md") {
		for _, match := range block.FindAllStringSubmatch(read(t, file), -1) {
			found = append(found, documents(t, file, match[1])...)
		}
	}
	return found
}

func documents(t *testing.T, file, text string) []manifest {
	t.Helper()
	var found []manifest
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		found = append(found, manifest{file, document})
	}
}

func files(t *testing.T, patterns ...string) []string {
	t.Helper()
	var all []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("no file %s (%v)", pattern, err)
		}
		all = append(all, found...)
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestWhatSamplesAndPagesShowIsAccepted: whoever copies a manifest finds that it is served.
func TestWhatSamplesAndPagesShowIsAccepted(t *testing.T) {
	pipelines, freezes := 0, 0
	for _, m := range manifests(t) {
		var object metav1.PartialObjectMetadata
		if err := yaml.Unmarshal(m.text, &object); err != nil {
			t.Errorf("%s: %v", m.file, err)
		}
		where := m.file + ": " + object.Kind + " " + object.Name
		switch object.Kind {
		case sluicev1.PipelineKind:
			pipelines++
			var p sluicev1.Pipeline
			if err := yaml.UnmarshalStrict(m.text, &p); err != nil {
				t.Errorf("%s: %v", where, err)
			}
			if err := validate(&p); err != nil {
				t.Errorf("%s: %v", where, err)
			}
		case sluicev1.FreezeKind:
			freezes++
			var f sluicev1.Freeze
			if err := yaml.UnmarshalStrict(m.text, &f); err != nil {
				t.Errorf("%s: %v", where, err)
			}
			if _, err := promotion.ParseCalendar(f.Spec.Windows); err != nil {
				t.Errorf("%s: %v", where, err)
			}
		}
	}
	if pipelines < 3 || freezes < 2 {
		t.Errorf("found %d Pipelines and %d Freezes", pipelines, freezes)
	}
}

// TestPagesOfPartsSayWhetherTheyAreServed: what is described and refused misleads, and so
// does a note that outlives it.
func TestPagesOfPartsSayWhetherTheyAreServed(t *testing.T) {
	for page, write := range map[string]sluicev1.Write{
		"promotion/setters.md": {Commit: &sluicev1.WriteCommit{}, Setters: []sluicev1.Setter{{Artifact: "app", File: "app.yaml", YAML: "image"}}},
		"forges.md":            {PullRequest: &sluicev1.PullRequest{}},
	} {
		refused := validate(shop(func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Write = write }))
		if says := strings.Contains(read(t, docs+page), "**Refused so far.**"); says != (refused != nil) {
			t.Errorf("docs/%s says that it is refused: %v; the controller says: %v", page, says, refused)
		}
	}
}

// TestThePageHasAllWords: what a status and an event say in a word is on the page.
func TestThePageHasAllWords(t *testing.T) {
	page := read(t, docs+"kinds/pipeline.md")
	code := sourceText(t, "*.go") + sourceText(t, "../../promotion/*.go")
	words := map[string]string{
		"../../api/sluice/v1alpha1/condition.go": `(\w+(?:Reason|Condition)) += "(\w+)"`,
		"../../api/sluice/v1alpha1/status.go":    `((?:Gate|Stage|Landing)\w+) (?:GateType|StagePhase|LandingKind) += "(\w+)"`,
		"../../api/sluice/v1alpha1/command.go":   `(Command\w+) CommandVerb += "(\w+)"`,
		"../../promotion/*.go":                   `(\.(?:say|warn)\(|command\w+ += |Verdict\w+ += )"(\w+)"`,
	}
	for pattern, expression := range words {
		found := 0
		for _, match := range regexp.MustCompile(expression).FindAllStringSubmatch(sourceText(t, pattern), -1) {
			name, word := match[1], match[2]
			if strings.Contains(pattern, "/api/") && !strings.Contains(code, "sluicev1."+name) {
				continue // nothing says it
			}
			found++
			if !regexp.MustCompile(`\b` + word + `\b`).MatchString(page) {
				t.Errorf("%s has %q, and docs/kinds/pipeline.md has not", pattern, word)
			}
		}
		if found < 4 {
			t.Errorf("found %d words in %s", found, pattern)
		}
	}
}

// sourceText is the text of Go files that are no tests.
func sourceText(t *testing.T, pattern string) string {
	t.Helper()
	var text strings.Builder
	for _, file := range files(t, pattern) {
		if !strings.HasSuffix(file, "_test.go") {
			text.WriteString(read(t, file))
		}
	}
	return text.String()
}
