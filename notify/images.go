// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// filterByImages keeps the ImageRepositories of the images that were pushed. If there is
// none, all are kept: the cluster may pull from the registry by another host name than the
// one that it reports.
func (h *Hooks) filterByImages(
	ctx context.Context, items []metav1.PartialObjectMetadata, in client.InNamespace, pushed payload,
) ([]metav1.PartialObjectMetadata, error) {
	if len(pushed.images) == 0 || len(items) < 2 {
		return items, nil
	}
	var list imagev1.ImageRepositoryList
	if err := h.Reader.List(ctx, &list, in); err != nil {
		return nil, fmt.Errorf("listing the images of %s in '%s': %w", imagev1.ImageRepositoryKind, string(in), err)
	}
	pushedTo := map[string]bool{}
	for i := range list.Items {
		if len(pushed.imagesOf(list.Items[i].Spec.Image)) > 0 {
			pushedTo[list.Items[i].Name] = true
		}
	}
	return keepPushed(items, pushedTo, pushedTo), nil
}

// filterByArtifacts keeps the OCIRepositories of the images that were pushed, and of these
// the ones that follow a tag which was pushed, or a range of versions. A message that names
// no tag is about all of them. If there is none of the images, all are kept, too.
func (h *Hooks) filterByArtifacts(
	ctx context.Context, items []metav1.PartialObjectMetadata, in client.InNamespace, pushed payload,
) ([]metav1.PartialObjectMetadata, error) {
	if len(pushed.images) == 0 || len(items) < 2 {
		return items, nil
	}
	var list sourcev1.OCIRepositoryList
	if err := h.Reader.List(ctx, &list, in); err != nil {
		return nil, fmt.Errorf("listing the URLs of %s in '%s': %w", sourcev1.OCIRepositoryKind, string(in), err)
	}
	pushedTo, followed := map[string]bool{}, map[string]bool{}
	for i := range list.Items {
		source := &list.Items[i]
		for _, image := range pushed.imagesOf(strings.TrimPrefix(source.Spec.URL, sourcev1.OCIRepositoryPrefix)) {
			pushedTo[source.Name] = true
			if tags := pushed.tags[image]; len(tags) == 0 || follows(source.Spec.Reference, tags) {
				followed[source.Name] = true
			}
		}
	}
	return keepPushed(items, pushedTo, followed), nil
}

// keepPushed keeps the items with a wanted name, if there are any of what was pushed to.
func keepPushed(items []metav1.PartialObjectMetadata, pushedTo, wanted map[string]bool) []metav1.PartialObjectMetadata {
	if !slices.ContainsFunc(items, func(o metav1.PartialObjectMetadata) bool { return pushedTo[o.Name] }) {
		return items
	}
	return slices.DeleteFunc(slices.Clone(items), func(o metav1.PartialObjectMetadata) bool { return !wanted[o.Name] })
}

// follows reports whether an OCIRepository may change when tags were pushed.
func follows(ref *sourcev1.OCIRepositoryRef, tags []string) bool {
	switch {
	case ref == nil:
		return slices.Contains(tags, "latest")
	case ref.Digest != "":
		return false
	case ref.SemVer != "":
		return true
	}
	return slices.Contains(tags, cmp.Or(ref.Tag, "latest"))
}

// imagesOf are those of the pushed images that can mean a repository.
func (n payload) imagesOf(repository string) []string {
	var images []string
	for _, image := range n.images {
		if mayBeSameRepository(repository, image) {
			images = append(images, image)
		}
	}
	return images
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

// add adds the repository of an image reference to those that were pushed to, with the
// tag that it has and those that are named beside it.
func (n *payload) add(image string, tags ...string) {
	image, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndex(image, ":"); colon > strings.LastIndex(image, "/") {
		tags = append(tags, image[colon+1:])
		image = image[:colon]
	}
	if image = strings.Trim(image, "/"); image == "" {
		return
	}
	n.images = append(n.images, image)
	for _, tag := range tags {
		if tag == "" {
			continue
		}
		if n.tags == nil {
			n.tags = map[string][]string{}
		}
		n.tags[image] = append(n.tags[image], tag)
	}
}
