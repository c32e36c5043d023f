// SPDX-License-Identifier: Apache-2.0

package main

import (
	"reflect"
	"strings"
	"testing"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/report"
)

func TestTypesSayWhatJSONHolds(t *testing.T) {
	for name, tc := range map[string]struct {
		types []any
		want  []string
	}{
		"a named string with constants is a union": {[]any{report.Lane{}}, []string{
			`export type Column = "image" | "policy" | "commit" | "source" | "apply" | "canary" | "live";`, "  column?: Column;\n"}},
		"what is left out may be undefined, and a time is a string": {[]any{report.Cell{}}, []string{
			"  since?: Time;\n", "  state: CellState;\n", "  remedies?: Remedy[];\n"}},
		"an embedded struct is extended": {[]any{report.CanaryDescription{}}, []string{
			"export interface CanaryDescription extends Canary {\n", "  good: Record<string, string>;\n"}},
		"two types of one name keep apart": {[]any{imagev1.PullRequestStatus{}, sluicev1.PullRequestStatus{}}, []string{
			"export interface PullRequestStatus {\n", "export interface SluicePullRequestStatus {\n"}},
		"comments come along": {[]any{flaggerv1.CanaryMeasurement{}}, []string{"  /** Name of the metric. */\n  name: string;\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWriter("../..")
			for _, is := range tc.types {
				if _, err := w.nameOf(reflect.TypeOf(is)); err != nil {
					t.Fatal(err)
				}
			}
			text, err := w.module()
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tc.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in:\n%s", want, text)
				}
			}
		})
	}
}

func TestWhatHasNoCounterpartIsRefused(t *testing.T) {
	if name, err := newWriter("../..").nameOf(reflect.TypeFor[chan int]()); err == nil {
		t.Errorf("got %s", name)
	}
}
