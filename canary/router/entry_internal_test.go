// SPDX-License-Identifier: Apache-2.0

package router

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

func TestWeightsAreReadAsPercentages(t *testing.T) {
	cases := map[string]struct {
		primary, canary any
		want            provider.Weights
	}{
		"numbers":                       {int64(80), int64(20), provider.Weights{Primary: 80, Canary: 20}},
		"quantities":                    {"80", "20", provider.Weights{Primary: 80, Canary: 20}},
		"halves":                        {int64(1), int64(1), provider.Weights{Primary: 50, Canary: 50}},
		"thirds":                        {int64(2), int64(1), provider.Weights{Primary: 67, Canary: 33}},
		"a weight that is left out":     {nil, int64(100), provider.Weights{Canary: 100}},
		"no weights":                    {nil, nil, provider.Weights{}},
		"nonsense is nothing":           {"many", int64(7), provider.Weights{Canary: 100}},
		"less than nothing is nothing":  {int64(-5), int64(105), provider.Weights{Canary: 100}},
		"more than anybody can count":   {1e300, 1e300, provider.Weights{Primary: 50, Canary: 50}},
		"fractions of a number, floats": {float64(30), float64(70), provider.Weights{Primary: 30, Canary: 70}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			list := []entry{{"name": "p", "weight": tc.primary}, {"name": "c", "weight": tc.canary}}
			got, ok := weightsIn(list, backendNameAt("name"), "p", "c")
			if !ok || got != tc.want {
				t.Errorf("want %v, got %v %t", tc.want, got, ok)
			}
		})
	}
}

func FuzzSkipperAnnotations(f *testing.F) {
	f.Add(`{"app-primary":80,"app-canary":20}`, "Weight(100)")
	f.Add(`{"app-primary":-1e99,"app-canary":"2"}`, "False() && Method(\"GET\")")
	f.Add("[]", "&&&&")
	f.Fuzz(func(t *testing.T, weights, predicate string) {
		live := &unstructured.Unstructured{Object: map[string]any{}}
		live.SetAnnotations(map[string]string{skipperWeights: weights, skipperPredicate: predicate})
		c := &flaggerv1.Canary{Spec: flaggerv1.CanarySpec{Service: flaggerv1.CanaryService{Name: "app"}}}
		w, err := skipper{}.weights(live, c)
		if total := w.Primary + w.Canary; err != nil || w.Primary < 0 || w.Canary < 0 || total != 100 && total != 0 {
			t.Errorf("%v %v", w, err)
		}
		off := withPredicate(predicate, skipperOff)
		if again := withPredicate(off, skipperOff); again != off || !strings.HasPrefix(off, skipperOff) {
			t.Errorf("%q becomes %q", off, again)
		}
	})
}
