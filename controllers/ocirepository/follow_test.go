// SPDX-License-Identifier: Apache-2.0

package ocirepository

import (
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
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
		"a version in a range":         {"registry.example.com/team/app:1.2.0", []string{"range"}},
		"a version out of it":          {"registry.example.com/team/app:2.0.0", nil},
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
			if diff := cmp.Diff(want, (&Reconciler{}).followersOf(reader)(t.Context(), TagKey(tag.Name()))); diff != "" {
				t.Errorf("woken (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAPushedVersionIsSeenAtOnce: another source has listed the tags a moment ago.
func TestAPushedVersionIsSeenAtOnce(t *testing.T) {
	f := setup(t)
	f.pushFiles("1.0.0", map[string]string{"app.yaml": "n: 1\n"})
	f.obj.Spec.Reference = &sourcev1.OCIRepositoryRef{SemVer: "1.x"}
	f.must()
	f.obj.Status.ObservedGeneration = f.obj.Generation
	apimeta.SetStatusCondition(&f.obj.Status.Conditions, *readyCondition())
	f.pushFiles("1.1.0", map[string]string{"app.yaml": "n: 2\n"})
	f.must()
	if !strings.HasPrefix(f.obj.Status.Artifact.Revision, "1.0.0@") {
		t.Fatalf("the list is not shared: %s", f.obj.Status.Artifact.Revision)
	}
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	reader := fake.NewClientBuilder().WithScheme(scheme).WithIndex(&sourcev1.OCIRepository{}, byTag, indexTag).
		WithObjects(f.obj.DeepCopy()).Build()
	if woken := f.followersOf(reader)(t.Context(), TagKey(f.host+"/"+repository+":1.1.0")); len(woken) != 1 {
		t.Fatalf("woken: %v", woken)
	}
	f.must()
	if !strings.HasPrefix(f.obj.Status.Artifact.Revision, "1.1.0@") {
		t.Errorf("it is still at %s", f.obj.Status.Artifact.Revision)
	}
}
