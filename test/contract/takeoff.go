// SPDX-License-Identifier: Apache-2.0

package contract

import (
	"maps"
	"regexp"
	"strings"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// spoil edits the spec into one that the router refuses, or that the API server would.
func (t *Fixture) spoil() {
	t.Canary.Spec.Service.Hosts, t.Canary.Spec.Service.Timeout = []string{"no host", "at all"}, "soon"
	t.Canary.Spec.Service.Match = make([]flaggerv1.HTTPMatchRequest, 2)
	t.Canary.Spec.Service.Port++
	for i := range t.Canary.Spec.Analysis.Match {
		t.Canary.Spec.Analysis.Match[i].URI = &flaggerv1.StringMatch{}
	}
}

// takesUsersOff tries that nobody is left on a canary whose spec was spoiled, and that the
// route is as it was otherwise.
func (t *Fixture) takesUsersOff() {
	t.Must(t.TakeOff(t.Context(), t.Canary)) // there is no route yet
	t.Start(provider.Weights{Primary: 60, Canary: 40})
	valid := t.Canary
	t.Canary = valid.DeepCopy()
	before := t.Made()
	t.spoil()
	t.Must(t.TakeOff(t.Context(), t.Canary))
	for i, o := range t.Made() {
		if was, is := weightless(before[i]), weightless(o); was != is {
			t.Errorf("more than weights has changed:\n%s", cmp.Diff(was, is))
		}
	}
	t.UnchangedBy("taking nobody off", func() error { return t.TakeOff(t.Context(), t.Canary) })
	t.Canary = valid
	if w, err := t.Weights(t.Context(), t.Canary); err != nil || w.Canary != 0 {
		t.Errorf("users have %+v, %v", w, err)
	}
}

// sharesOfUsers are where routes say how many users the canary has, but for annotations.
var sharesOfUsers = regexp.MustCompile(`"(weight|percent|partition)":"?[0-9]+"?`)

// weightless is what an object says about anything but the shares of the two copies.
func weightless(o *unstructured.Unstructured) string {
	o = o.DeepCopy()
	annotations := o.GetAnnotations()
	maps.DeleteFunc(annotations, func(key, _ string) bool {
		return strings.Contains(key, "ingress.kubernetes.io/canary") || strings.HasPrefix(key, "zalando.org/") || strings.Contains(key, "weight")
	})
	o.SetAnnotations(annotations)
	return sharesOfUsers.ReplaceAllString(AsJSON(o), "")
}
