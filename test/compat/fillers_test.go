// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"encoding/json"
	"time"

	flaggerup "github.com/fluxcd/flagger/pkg/apis/flagger/v1beta1"
	istioup "github.com/fluxcd/flagger/pkg/apis/istio/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/randfill"
)

// fillers make the values that JSON cannot carry in every form: a time has
// seconds, a port is a number or a name.
var fillers = []any{
	func(t *metav1.Time, c randfill.Continue) {
		*t = metav1.Unix(int64(c.Uint32()), 0).Rfc3339Copy()
	},
	func(d *metav1.Duration, c randfill.Continue) {
		d.Duration = time.Duration(c.Uint32()) * time.Millisecond
	},
	func(p *intstr.IntOrString, c randfill.Continue) {
		if c.Bool() {
			*p = intstr.FromString("http")
			return
		}
		*p = intstr.FromInt32(c.Int31())
	},
	func(f *metav1.FieldsV1, _ randfill.Continue) {
		f.SetRawString(`{"f:spec":{}}`)
	},
	// A header has values: one that is null is none.
	func(values *[]string, c randfill.Continue) {
		*values = make([]string, 1+c.Intn(3))
		for i := range *values {
			(*values)[i] = c.String(9)
		}
	},
	// trafficPolicy is Istio's. We carry it as it is written.
	func(raw *runtime.RawExtension, c randfill.Continue) {
		var policy istioup.TrafficPolicy
		c.Fill(&policy)
		raw.Raw, _ = json.Marshal(policy)
	},
	// canaryAnalysis is in Flagger's Go type but not in its CRD: the API server
	// prunes it, so that no object can have it.
	func(spec *flaggerup.CanarySpec, c randfill.Continue) {
		c.FillNoCustom(spec)
		spec.CanaryAnalysis = nil //nolint:staticcheck // the deprecated field is what this is about
	},
}
