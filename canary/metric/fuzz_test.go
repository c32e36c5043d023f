// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"math"
	"testing"
)

// FuzzDecoders feeds every decoder with every body: each must refuse what it does
// not understand, and never take NaN for a number.
func FuzzDecoders(f *testing.F) {
	for _, r := range recordings(f) {
		for _, body := range append([]string{r.value, r.several, r.failure}, r.empty...) {
			f.Add([]byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for name, decode := range map[string]func([]byte) (float64, error){
			"cloudwatch": decodeCloudWatch,
			"datadog":    func(body []byte) (float64, error) { return decodeDatadog(body, now) },
			"dynatrace":  decodeDynatrace, "externalmetrics": decodeExternalMetrics, "graphite": decodeGraphite,
			"influxdb": decodeFlux, "newrelic": decodeNewRelic, "prometheus": decodePrometheus,
			"splunk": decodeSignalFlow, "stackdriver": decodeStackdriver,
		} {
			value, err := decode(body)
			if err == nil && math.IsNaN(value) {
				t.Fatalf("%s took NaN for a value", name)
			}
			if err != nil && value != 0 {
				t.Fatalf("%s: value %v beside error %v", name, value, err)
			}
		}
		if text := serverMessage(body); len(text) > 210 {
			t.Fatalf("a complaint of %d bytes", len(text))
		}
	})
}

func FuzzWeb(f *testing.F) {
	f.Add([]byte(`{"data":{"errors":["42.5"]}}`), `{.data.errors[*]}`)
	f.Add([]byte(`{"a":[{"b":"c"}]}`), `{range .a[*]}{.b}{end}`)
	f.Add([]byte(`{"a":[{"b":"c"}]}`), `{..b}`)
	f.Add([]byte(`[1,2,3]`), `{[-1:]}`)
	f.Add([]byte(`[{"a":1}]`), `{[?(@.a>0)].a}`)
	f.Add([]byte(`true`), ``)
	f.Fuzz(func(t *testing.T, body []byte, path string) {
		if checkJSONPath(path) != nil {
			return
		}
		value, err := decodeWeb(body, path)
		if err == nil && math.IsNaN(value) {
			t.Fatal("NaN passed for a value")
		}
		if err != nil && value != 0 {
			t.Fatalf("value %v beside error %v", value, err)
		}
	})
}
