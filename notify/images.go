// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// filterByImages keeps the ImageRepositories of the images that were pushed. If there is
// none, all are kept: the cluster may pull from the registry by another host name than the
// one that it reports.
func (h *Hooks) filterByImages(
	ctx context.Context, items []metav1.PartialObjectMetadata, in client.InNamespace, pushed []string,
) ([]metav1.PartialObjectMetadata, error) {
	if len(pushed) == 0 || len(items) < 2 {
		return items, nil
	}
	var list imagev1.ImageRepositoryList
	if err := h.Reader.List(ctx, &list, in); err != nil {
		return nil, fmt.Errorf("listing the images of %s in '%s': %w", imagev1.ImageRepositoryKind, string(in), err)
	}
	pushedTo := map[string]bool{}
	for i := range list.Items {
		pushedTo[list.Items[i].Name] = slices.ContainsFunc(pushed, func(image string) bool {
			return mayBeSameRepository(list.Items[i].Spec.Image, image)
		})
	}
	kept := slices.DeleteFunc(slices.Clone(items), func(o metav1.PartialObjectMetadata) bool { return !pushedTo[o.Name] })
	if len(kept) == 0 {
		return items, nil
	}
	return kept, nil
}

// mayBeSameRepository reports whether two image names can mean the same repository. Hosts
// are not compared: a registry often has several, and a mirror puts a prefix of
// its own before the path. A scan too many does no harm; one too few would.
func mayBeSameRepository(a, b string) bool {
	a, b = path(a), path(b)
	return a == b || strings.HasSuffix(a, "/"+b) || strings.HasSuffix(b, "/"+a)
}

// path is an image name without its host.
func path(image string) string {
	host, rest, found := strings.Cut(image, "/")
	if found && (strings.ContainsAny(host, ".:") || host == "localhost") {
		return rest
	}
	return image
}

// add adds the repository of an image reference to those that were pushed to.
func (n *payload) add(image string) {
	image, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndex(image, ":"); colon > strings.LastIndex(image, "/") {
		image = image[:colon]
	}
	if image = strings.Trim(image, "/"); image != "" {
		n.images = append(n.images, image)
	}
}
