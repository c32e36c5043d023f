// SPDX-License-Identifier: Apache-2.0

package mask_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/sluice-cd/sluice/internal/mask"
)

func TestOfASecretOnlyIsSeenWhichValuesChange(t *testing.T) {
	for name, tc := range map[string]struct{ before, after, wantBefore, wantAfter string }{
		"values that stay, change, come and go": {
			before:     `{apiVersion: v1, kind: Secret, data: {stays: YQ==, changes: YQ==, goes: YQ==}}`,
			after:      `{apiVersion: v1, kind: Secret, data: {stays: YQ==, changes: Yg==, comes: Yg==}}`,
			wantBefore: `{apiVersion: v1, kind: Secret, data: {stays: "*****", changes: "***** (before)", goes: "*****"}}`,
			wantAfter:  `{apiVersion: v1, kind: Secret, data: {stays: "*****", changes: "***** (after)", comes: "*****"}}`,
		},
		"one that is new": {
			after:     `{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {a: b}}`,
			wantAfter: `{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {a: "*****"}}`,
		},
		"one that goes": {
			before:     `{apiVersion: v1, kind: Secret, data: {a: YQ==}, type: Opaque}`,
			wantBefore: `{apiVersion: v1, kind: Secret, data: {a: "*****"}, type: Opaque}`,
		},
		"one that gets its first values": {
			before: `{apiVersion: v1, kind: Secret}`, wantBefore: `{apiVersion: v1, kind: Secret}`,
			after: `{apiVersion: v1, kind: Secret, data: {a: YQ==}}`, wantAfter: `{apiVersion: v1, kind: Secret, data: {a: "*****"}}`,
		},
		"a Secret of another group, and another kind": {
			before:     `{apiVersion: example.com/v1, kind: Secret, data: {a: b}}`,
			after:      `{apiVersion: v1, kind: ConfigMap, data: {a: c}}`,
			wantBefore: `{apiVersion: example.com/v1, kind: Secret, data: {a: b}}`,
			wantAfter:  `{apiVersion: v1, kind: ConfigMap, data: {a: c}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := parse(t, tc.before), parse(t, tc.after)
			mask.Secret(before, after)
			if diff := cmp.Diff([]*unstructured.Unstructured{parse(t, tc.wantBefore), parse(t, tc.wantAfter)},
				[]*unstructured.Unstructured{before, after}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// parse reads an object, nil for an empty text.
func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	if text == "" {
		return nil
	}
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}
