// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/sluice-cd/sluice/report"
)

func TestAResourceIsReadByWhatAllKindsHave(t *testing.T) {
	for name, tc := range map[string]struct {
		object string
		want   report.Resource
	}{
		"a source": {
			"{kind: Bucket, metadata: {name: a, namespace: apps}, status: {artifact: {revision: 'sha256:1'}, conditions: " +
				"[{type: Other, status: 'True'}, {type: Ready, status: 'True', reason: Succeeded, message: stored}]}}",
			report.Resource{
				Kind: "Bucket", Namespace: "apps", Name: "a", Revision: "sha256:1", Ready: "True", Reason: "Succeeded", Message: "stored",
			},
		},
		"a Kustomization that is suspended": {
			"{kind: Kustomization, metadata: {name: a}, spec: {suspend: true}, status: {lastAppliedRevision: 'main@sha1:1'}}",
			report.Resource{Kind: "Kustomization", Name: "a", Revision: "main@sha1:1", Suspended: true, Ready: "Unknown"},
		},
		"an ArtifactGenerator that is suspended": {
			"{apiVersion: source.extensions.fluxcd.io/v1beta1, kind: ArtifactGenerator, metadata: {name: a, annotations: " +
				"{source.extensions.fluxcd.io/reconcile: Disabled}}}",
			report.Resource{Kind: "ArtifactGenerator", Name: "a", Suspended: true, Ready: "Unknown"},
		},
		"a Kustomization with the annotation that suspends an ArtifactGenerator": {
			"{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: a, annotations: " +
				"{source.extensions.fluxcd.io/reconcile: disabled}}}",
			report.Resource{Kind: "Kustomization", Name: "a", Ready: "Unknown"},
		},
		"a policy": {
			"{kind: ImagePolicy, metadata: {name: a}, status: {latestRef: {name: app, tag: '1'}}}",
			report.Resource{Kind: "ImagePolicy", Name: "a", Revision: "app:1", Ready: "Unknown"},
		},
		"a repository of images": {
			"{kind: ImageRepository, metadata: {name: a}, status: {lastScanResult: {tagCount: 3}}}",
			report.Resource{Kind: "ImageRepository", Name: "a", Revision: "3 tags", Ready: "Unknown"},
		},
		"a canary": {
			"{kind: Canary, metadata: {name: a}, status: {phase: Progressing}}",
			report.Resource{Kind: "Canary", Name: "a", Revision: "Progressing", Ready: "Unknown"},
		},
		"one with conditions of another shape": {
			"{kind: Canary, metadata: {name: a}, spec: {suspend: 'yes'}, status: {conditions: [no, {type: Ready}], phase: 1}}",
			report.Resource{Kind: "Canary", Name: "a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := &unstructured.Unstructured{}
			text, err := yaml.YAMLToJSON([]byte(tc.object))
			if err != nil {
				t.Fatal(err)
			}
			if err := u.UnmarshalJSON(text); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, report.OfResource(u)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
