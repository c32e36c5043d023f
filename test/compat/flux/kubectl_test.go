// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"strings"
	"testing"
)

// TestKubectlFindsTheKinds asks as people do who have no Flux CLI at hand: by
// category and by short name.
func TestKubectlFindsTheKinds(t *testing.T) {
	t.Parallel()
	s := newStory(t, "flux-kubectl")
	s.clone(t)
	s.push(t, "1.0.0")
	s.tell(t, append(source(),
		step{does: "an image repository", run: "create image repository podinfo --image={image} --interval=1h"},
		step{does: "an image policy", run: "create image policy podinfo --image-ref=podinfo --select-semver=1.x"},
		step{
			does: "an automation",
			run: "create image update podinfo --git-repo-ref=repo --git-repo-path=./deploy --checkout-branch=main " +
				"--author-name=flux --author-email=flux@example.com --interval=1h",
		},
		step{
			does: "a kustomization",
			run:  "create kustomization podinfo --source=GitRepository/repo --path=./deploy --prune=true --interval=1h --target-namespace={ns}",
		},
	))
	tests := map[string]struct {
		names string
		want  []string
	}{
		"the category of images": {
			names: "fluxcd-images",
			want:  []string{"imagerepository.image.toolkit.fluxcd.io/podinfo", "imagepolicy.", "imageupdateautomation."},
		},
		"the category of sources":  {names: "fluxcd-sources", want: []string{"gitrepository.source.toolkit.fluxcd.io/repo"}},
		"the category of appliers": {names: "fluxcd-appliers", want: []string{"kustomization.kustomize.toolkit.fluxcd.io/podinfo"}},
		"the category of all of Flux": {
			names: "fluxcd", want: []string{"imagerepository.", "imagepolicy.", "imageupdateautomation.", "gitrepository.", "kustomization."},
		},
		"everything": {names: "all", want: []string{"imagepolicy.", "kustomization.", "deployment.apps/podinfo"}},
		"short names": {
			names: "imgrepo,imgpol,iua,gitrepo,ks",
			want:  []string{"imagerepository.", "imagepolicy.", "imageupdateautomation.", "gitrepository.", "kustomization."},
		},
		"other short names": {
			names: "imagerepo,imagepol,imgupd,imgauto", want: []string{"imagerepository.", "imagepolicy.", "imageupdateautomation."},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := s.kubectl(t, "get "+tc.names+" -o name")
			for _, want := range tc.want {
				if !strings.Contains(got, want) {
					t.Errorf("kubectl get %s lacks %s:\n%s", tc.names, want, got)
				}
			}
		})
	}
	t.Run("columns", func(t *testing.T) {
		got := squeeze(s.kubectl(t, "get imgpol podinfo"))
		want := s.fill("NAME IMAGE TAG READY STATUS AGE podinfo {image} 1.0.0 True Latest image tag for {image} resolved to 1.0.0")
		if !strings.HasPrefix(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}
