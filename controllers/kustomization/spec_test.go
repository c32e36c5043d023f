// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
)

func TestStrictSubstitutionCanBeTurnedOff(t *testing.T) {
	for lenient, want := range map[bool]string{false: `variable not set (strict mode): "MISSING"`, true: ""} {
		e := newTestEnv(t)
		e.LenientSubstitutions = lenient
		e.commit("main@sha1:1", map[string]string{"a.yaml": configMap("a", "x${MISSING}y")})
		k := app("a")
		k.Spec.PostBuild = &kustomizev1.PostBuild{Substitute: map[string]string{"OTHER": "1"}}
		_, err := e.built(k)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("lenient %t: %v, want %q", lenient, err, want)
		}
		if got := e.cluster.Get(pathOf("a")); lenient && (got == nil || valueOf(got) != "xy") {
			t.Errorf("applied %v, want xy", got)
		}
	}
}
