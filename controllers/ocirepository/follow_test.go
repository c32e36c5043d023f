// SPDX-License-Identifier: Apache-2.0

package ocirepository

import (
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/test/make"
)

func TestTheFollowersOfATag(t *testing.T) {
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	following := func(name, url string, ref *sourcev1.OCIRepositoryRef) *sourcev1.OCIRepository {
		return make.OCIRepository("apps", name, func(o *sourcev1.OCIRepository) { o.Spec.URL, o.Spec.Reference = url, ref })
	}
	const url = "oci://registry.example.com/team/app"
	reader := fake.NewClientBuilder().WithScheme(scheme).WithIndex(&sourcev1.OCIRepository{}, byTag, indexTag).WithObjects(
		following("tag", url, &sourcev1.OCIRepositoryRef{Tag: "production"}),
		following("other-tag", url, &sourcev1.OCIRepositoryRef{Tag: "staging"}),
		following("none", url, nil),
		following("range", url, &sourcev1.OCIRepositoryRef{SemVer: "1.x", Tag: "production"}),
		following("digest", url, &sourcev1.OCIRepositoryRef{Digest: "sha256:" + strings.Repeat("a", 64), Tag: "production"}),
		following("other-repository", url+"2", &sourcev1.OCIRepositoryRef{Tag: "production"}),
		following("invalid", "https://registry.example.com/team/app", nil),
	).Build()
	for title, tc := range map[string]struct {
		tag  string
		want []string
	}{
		"a tag":                        {"registry.example.com/team/app:production", []string{"tag"}},
		"latest is what nothing means": {"registry.example.com/team/app:latest", []string{"none"}},
		"nobody's":                     {"registry.example.com/team/app:canary", nil},
	} {
		t.Run(title, func(t *testing.T) {
			tag, err := name.NewTag(tc.tag)
			if err != nil {
				t.Fatal(err)
			}
			var want []reconcile.Request
			for _, name := range tc.want {
				want = append(want, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "apps", Name: name}})
			}
			if diff := cmp.Diff(want, followersOf(reader)(t.Context(), Followed(tag.Name()))); diff != "" {
				t.Errorf("woken (-want +got):\n%s", diff)
			}
		})
	}
}
