// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"os"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/canary/router"
)

func TestNobodyIsToldToNameWhatTheAPIRefuses(t *testing.T) {
	schema, err := os.ReadFile("../../config/crd/bases/flagger.app_canaries.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"appmesh", "envoy"} {
		_, err := router.New(name, router.Deps{})
		_, list, _ := strings.Cut(strings.ReplaceAll(err.Error(), "only ", "one of "), "one of ")
		for _, advised := range strings.Split(strings.TrimSuffix(list, " are"), ", ") {
			if !strings.Contains(string(schema), "- "+advised+"\n") {
				t.Errorf("%q advises %q, which no spec may name", err, advised)
			}
		}
	}
}
