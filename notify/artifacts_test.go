// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"slices"
	"strings"
	"testing"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-cd/sluice/test/make"
)

// TestOnlyFollowersOfAPushedTagAreAsked has the messages of registries that name the tag.
func TestOnlyFollowersOfAPushedTagAreAsked(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := sourcev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var objects []client.Object
	var items []metav1.PartialObjectMetadata
	for name, of := range map[string]struct {
		url string
		ref *sourcev1.OCIRepositoryRef
	}{
		"production": {"oci://registry.example.com/team/app", &sourcev1.OCIRepositoryRef{Tag: "production"}},
		"latest":     {"oci://registry.example.com/team/app", nil},
		"range":      {"oci://registry.example.com/team/app", &sourcev1.OCIRepositoryRef{SemVer: "1.x"}},
		"digest":     {"oci://registry.example.com/team/app", &sourcev1.OCIRepositoryRef{Digest: "sha256:12"}},
		"other":      {"oci://registry.example.com/team/other", &sourcev1.OCIRepositoryRef{Tag: "production"}},
	} {
		objects = append(objects, make.OCIRepository("apps", name, func(o *sourcev1.OCIRepository) {
			o.Spec.URL, o.Spec.Reference = of.url, of.ref
		}))
		item := metav1.PartialObjectMetadata{}
		item.Name = name
		items = append(items, item)
	}
	h := &Hooks{Options: Options{Reader: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()}}
	for title, tc := range map[string]struct{ kind, body, want string }{
		"a tag of the Hub": {
			notificationv1.DockerHubReceiver, `{"repository":{"repo_name":"team/app"},"push_data":{"tag":"production"}}`, "production range"},
		"a tag that is nobody's": {notificationv1.QuayReceiver, `{"docker_url":"quay.io/team/app","updated_tags":["canary"]}`, "range"},
		"several of Quay": {
			notificationv1.QuayReceiver, `{"docker_url":"quay.io/team/app","updated_tags":["latest","production"]}`, "latest production range"},
		"no list of tags of Quay": {
			notificationv1.QuayReceiver, `{"docker_url":"quay.io/team/app","updated_tags":{"a":"b"}}`, "digest latest production range"},
		"a tag of Azure": {notificationv1.ACRReceiver, `{"target":{"repository":"team/other","tag":"production"}}`, "other"},
		"no tag":         {notificationv1.ACRReceiver, `{"target":{"repository":"team/app"}}`, "digest latest production range"},
		"another image":  {notificationv1.ACRReceiver, `{"target":{"repository":"mirror","tag":"1"}}`, "digest latest other production range"},
	} {
		t.Run(title, func(t *testing.T) {
			sent, err := senders[tc.kind].verify(t.Context(), h, message{body: []byte(tc.body), receiver: &notificationv1.Receiver{}})
			if err != nil {
				t.Fatal(err)
			}
			kept, err := h.filterByArtifacts(t.Context(), items, "apps", sent)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, item := range kept {
				names = append(names, item.Name)
			}
			slices.Sort(names)
			if got := strings.Join(names, " "); got != tc.want {
				t.Errorf("asked %q, want %q", got, tc.want)
			}
		})
	}
}
