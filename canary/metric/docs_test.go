package metric

import (
	"os"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
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
	}
	for name := range serverTypes {
		if !seen[name] {
			t.Errorf("the docs have no example of %s", name)
		}
	}
}
