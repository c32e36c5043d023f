// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/test/make"
)

// TestTrackedConfigsAreWhatFlaggerWouldHaveWritten, or a canary that is handed back
// would be analysed anew. The values are those of sha256sum over the data as JSON, as
// in: printf '{"token":"czNjcmV0"}' | sha256sum | cut -c1-16
func TestTrackedConfigsAreWhatFlaggerWouldHaveWritten(t *testing.T) {
	files := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "files"}, Data: map[string]string{"b": "2", "a": "<1>"}}
	cert := make.Secret("", "cert", map[string]string{"token": "s3cret"}, func(s *corev1.Secret) { s.Type = corev1.SecretTypeTLS })
	empty := make.ConfigMap("", "env", nil)
	b := newFixture(t, podinfo("podinfo:1"), files, cert, empty, secret("token", "helm.sh/release.v1"), secret("db", "helm.sh/release.v1"))
	before := b.observe().Revision
	want := map[string]string{
		"configmap/files": "280988fe9e311a31", // {"a":"\u003c1\u003e","b":"2"}
		"configmap/env":   "74234e98afe7498f", // null
		"secret/cert":     "9a4aa99001a8599b",
	}
	if diff := cmp.Diff(want, before.TrackedConfigs()); diff != "" {
		t.Errorf("tracked (-want +got):\n%s", diff)
	}
	live := &corev1.ConfigMap{}
	b.get("files", live)
	live.BinaryData = map[string][]byte{"blob": {0xff}}
	b.must(b.c.Update(t.Context(), live))
	after := b.observe().Revision
	if diff := cmp.Diff(want, after.TrackedConfigs()); diff != "" {
		t.Errorf("Flagger does not see binaryData (-want +got):\n%s", diff)
	}
	if after.Digest == before.Digest {
		t.Error("binaryData makes no new revision")
	}
}
