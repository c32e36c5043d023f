// SPDX-License-Identifier: Apache-2.0

package app

import (
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	notificationv1beta3 "github.com/sluice-cd/sluice/api/notification/v1beta3"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/kinds"
)

func TestWhatMetricsSayOfAnObject(t *testing.T) {
	named := metav1.ObjectMeta{Namespace: "apps", Name: "shop"}
	ready := []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue}}
	git := func(url string) client.Object {
		return &sourcev1.GitRepository{ObjectMeta: named, Spec: sourcev1.GitRepositorySpec{URL: url},
			Status: sourcev1.GitRepositoryStatus{Conditions: ready, Artifact: &meta.Artifact{Revision: "main@sha1:c0ffee"}}}
	}
	of := func(kind, rest string) string { return kind + " apps shop " + rest }
	for name, tc := range map[string]struct {
		object client.Object
		want   string // the values that are not empty
	}{
		"a source with its revision": {
			git("https://git.example.com/fleet"),
			of("source.toolkit.fluxcd.io v1 GitRepository", "True false main@sha1:c0ffee https://git.example.com/fleet"),
		},
		"a password in a URL is not shown": {
			git("https://me:secret@git.example.com/fleet"),
			of("source.toolkit.fluxcd.io v1 GitRepository", "True false main@sha1:c0ffee https://git.example.com/fleet"),
		},
		"nor is a token, whether it is who asks or what is asked for": {
			git("https://ghp_5ec7e7@git.example.com/fleet?private_token=5ec7e7#5ec7e7"),
			of("source.toolkit.fluxcd.io v1 GitRepository", "True false main@sha1:c0ffee https://git.example.com/fleet"),
		},
		"who asks by SSH is no secret": {
			git("ssh://git@git.example.com/fleet"),
			of("source.toolkit.fluxcd.io v1 GitRepository", "True false main@sha1:c0ffee ssh://git@git.example.com/fleet"),
		},
		"nor is what is no URL": {
			git("https://me:secret%zz@git"), of("source.toolkit.fluxcd.io v1 GitRepository", "True false main@sha1:c0ffee"),
		},
		"a bucket": {
			&sourcev1.Bucket{ObjectMeta: named, Spec: sourcev1.BucketSpec{Endpoint: "minio:9000", BucketName: "apps"}},
			of("source.toolkit.fluxcd.io v1 Bucket", "false minio:9000 apps"),
		},
		"a registry": {
			&sourcev1.OCIRepository{ObjectMeta: named, Spec: sourcev1.OCIRepositorySpec{URL: "oci://example.com/a"}},
			of("source.toolkit.fluxcd.io v1 OCIRepository", "false oci://example.com/a"),
		},
		"what is applied": {
			&kustomizev1.Kustomization{ObjectMeta: named,
				Spec:   kustomizev1.KustomizationSpec{Suspend: true, SourceRef: kustomizev1.CrossNamespaceSourceReference{Name: "fleet"}},
				Status: kustomizev1.KustomizationStatus{LastAppliedRevision: "main@sha1:beef"}},
			of("kustomize.toolkit.fluxcd.io v1 Kustomization", "true main@sha1:beef fleet"),
		},
		"an image": {
			&imagev1.ImageRepository{ObjectMeta: named, Spec: imagev1.ImageRepositorySpec{Image: "example.com/app"}},
			of("image.toolkit.fluxcd.io v1 ImageRepository", "false example.com/app"),
		},
		"a policy": {
			&imagev1.ImagePolicy{ObjectMeta: named, Spec: imagev1.ImagePolicySpec{ImageRepositoryRef: meta.NamespacedObjectReference{Name: "app"}}},
			of("image.toolkit.fluxcd.io v1 ImagePolicy", "false app"),
		},
		"an automation": {
			&imagev1.ImageUpdateAutomation{ObjectMeta: named,
				Spec: imagev1.ImageUpdateAutomationSpec{Suspend: true, SourceRef: imagev1.CrossNamespaceSourceReference{Name: "fleet"}}},
			of("image.toolkit.fluxcd.io v1 ImageUpdateAutomation", "true fleet"),
		},
		"the path of a receiver is not shown": {
			&notificationv1.Receiver{ObjectMeta: named, Status: notificationv1.ReceiverStatus{Conditions: ready, WebhookPath: "/hook/5ec7e7"}},
			of("notification.toolkit.fluxcd.io v1 Receiver", "True false"),
		},
		"an alert": {
			&notificationv1beta3.Alert{ObjectMeta: named, Spec: notificationv1beta3.AlertSpec{Suspend: true}},
			of("notification.toolkit.fluxcd.io v1beta3 Alert", "true"),
		},
		"the address of a provider is not shown": {
			&notificationv1beta3.Provider{ObjectMeta: named, Spec: notificationv1beta3.ProviderSpec{Address: "https://hooks.example.com/5ec7e7"}},
			of("notification.toolkit.fluxcd.io v1beta3 Provider", "false"),
		},
		"a canary with what was promoted": {
			&flaggerv1.Canary{ObjectMeta: named, Status: flaggerv1.CanaryStatus{LastPromotedSpec: "6f4c"}},
			of("flagger.app v1beta1 Canary", "false 6f4c"),
		},
		"a pipeline": {&sluicev1.Pipeline{ObjectMeta: named}, of("sluice.dev v1alpha1 Pipeline", "false")},
	} {
		t.Run(name, func(t *testing.T) {
			scheme, err := kinds.Scheme()
			if err != nil {
				t.Fatal(err)
			}
			got, err := resources{scheme: scheme}.labels(tc.object)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Fields(tc.want), strings.Fields(strings.Join(got, " "))); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKindsThatAnotherProcessServesAreNotShown(t *testing.T) {
	for name, tc := range map[string]struct {
		flags flags
		want  int
	}{
		"all":                         {flags{controllers: groups}, 13},
		"one group":                   {flags{controllers: []string{"kustomize"}}, 1},
		"Alerts are served elsewhere": {flags{controllers: []string{"notification"}, eventsAddr: "http://notification-controller/"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.flags.shown(); len(got) != tc.want {
				t.Errorf("%d kinds, want %d: %T", len(got), tc.want, got)
			}
		})
	}
}
