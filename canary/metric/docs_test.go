// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

var fenced = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestTheExamplesOfTheDocsWork prepares each of them, with a Secret of every key.
func TestTheExamplesOfTheDocsWork(t *testing.T) {
	page, err := os.ReadFile("../../docs/kinds/metrictemplate.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{"keptn": true} // which is refused
	for _, example := range fenced.FindAllStringSubmatch(string(page), -1) {
		text := example[1]
		if !strings.HasPrefix(text, "apiVersion:") {
			text = "spec:\n  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
		}
		tmpl := &flaggerv1.MetricTemplate{}
		if err := yaml.UnmarshalStrict([]byte(text), tmpl); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		tmpl.ObjectMeta = metav1.ObjectMeta{Namespace: "staging", Name: "errors"}
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "staging"}, Data: map[string][]byte{}}
		for _, r := range recordings(t) {
			for key, value := range r.secret {
				secret.Data[key] = []byte(value)
			}
		}
		if ref := tmpl.Spec.Provider.SecretRef; ref != nil {
			secret.Name = ref.Name
		} else {
			secret.Name = "unused"
		}
		k := testChecker(t, tmpl, secret)
		WithAPIServer(&rest.Config{Host: "https://kubernetes.example"})(k)
		seen[tmpl.Spec.Provider.Type] = true
		if _, err := k.Prepare(t.Context(), plainCanary(), byErrors); err != nil {
			t.Errorf("%s: %v", tmpl.Spec.Provider.Type, err)
		}
		if tmpl.Spec.Counters == nil {
			continue
		}
		seen["counters"] = true
		if _, err := k.PrepareCounters(t.Context(), plainCanary(), byErrors); err != nil {
			t.Errorf("%s: %v", tmpl.Spec.Counters.Events, err)
		}
	}
	if !seen["counters"] {
		t.Error("the docs have no example of spec.counters")
	}
	for name := range serverTypes {
		if !seen[name] {
			t.Errorf("the docs have no example of %s", name)
		}
	}
}

// TestTheTableOfTheDocsIsWhole looks for a row of each type of server.
func TestTheTableOfTheDocsIsWhole(t *testing.T) {
	page, err := os.ReadFile("../../docs/kinds/metrictemplate.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(page), "\n## Providers\n")
	if !ok {
		t.Fatal("the page has no section Providers")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var first strings.Builder // cells
	for line := range strings.Lines(text) {
		if cells := strings.Split(line, "|"); len(cells) > 1 {
			first.WriteString(cells[1])
		}
	}
	for name := range serverTypes {
		if !strings.Contains(first.String(), "`"+name+"`") {
			t.Errorf("no row for %s", name)
		}
	}
}

// TestEveryImplementationIsInTheDocs looks for a row with the product and with each name of its controller.
func TestEveryImplementationIsInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/kinds/metrictemplate.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n### Implementations of the Gateway API\n")
	rows := strings.Split(section, "\n")
	for _, by := range provider.Implementations() {
		for _, name := range by.Controllers {
			if strings.HasSuffix(name, "/") {
				name += "*"
			}
			if !slices.ContainsFunc(rows, func(row string) bool {
				return strings.HasPrefix(row, "| ") && strings.Contains(row, by.Product) && strings.Contains(row, "`"+name+"`")
			}) {
				t.Errorf("no row for %s, %s", by.Product, name)
			}
		}
	}
}

// TestEveryServerTypeIsInTheAPI reads the marker that the API server's validation is
// generated from.
func TestEveryServerTypeIsInTheAPI(t *testing.T) {
	source, err := os.ReadFile("../../api/flagger/v1beta1/metrictemplate.go")
	if err != nil {
		t.Fatal(err)
	}
	enum := regexp.MustCompile(`\+kubebuilder:validation:Enum=(prometheus;\S+)`).FindSubmatch(source)
	if enum == nil {
		t.Fatal("the type of a provider is no enum any more")
	}
	for name := range serverTypes {
		t.Run(name, func(t *testing.T) {
			if !slices.Contains(strings.Split(string(enum[1]), ";"), name) {
				t.Errorf("the API server refuses it: add it to the enum %s", enum[1])
			}
		})
	}
}
