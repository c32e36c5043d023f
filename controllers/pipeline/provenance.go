// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
)

// provenance is whether an object runs a content.
type provenance int

const (
	unproven provenance = iota // nothing tells
	provenSame
	provenOther
)

// Labels by which Flux's controllers, and ours, say what applied an object.
const (
	kustomizeName, kustomizeNamespace = "kustomize.toolkit.fluxcd.io/name", "kustomize.toolkit.fluxcd.io/namespace"
	helmName, helmNamespace           = "helm.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/namespace"
)

// provenance tells by the images of a workload, else by the Kustomization that applied
// the object, or the HelmRelease that it is a part of.
func (r readyChecker) provenance(
	ctx context.Context, t target, o object, u *unstructured.Unstructured, want promotion.Content,
) (provenance, error) {
	if template, ok := podTemplate(u); ok && ofImages(template, want) {
		if runsAny(template, want) {
			return provenSame, nil
		}
		return provenOther, nil
	}
	alone := unproven // what the object itself tells
	if t.tag != nil {
		revision, tells := pulled(o, u)
		if tagCarries(artifactOf(r.objects.pipeline, t.tag), revision, want) {
			return provenSame, nil
		}
		if tells {
			alone = provenOther
		}
	}
	labels := u.GetLabels()
	if name := labels[helmName]; name != "" {
		release := &unstructured.Unstructured{}
		owner := o.inSameCluster(groupVersions[helmReleaseKind].WithKind(helmReleaseKind),
			types.NamespacedName{Namespace: labels[helmNamespace], Name: name})
		if r.objects.allowed(owner) != nil {
			return alone, nil
		}
		if answer, err := r.objects.read(ctx, owner, release); err != nil || answer.Why != "" {
			return provenOther, err
		}
		labels = release.GetLabels()
	}
	if labels[kustomizeName] == "" {
		return alone, nil
	}
	owner := o.inSameCluster(groupVersions[kustomizationKind].WithKind(kustomizationKind),
		types.NamespacedName{Namespace: labels[kustomizeNamespace], Name: labels[kustomizeName]})
	if r.objects.allowed(owner) != nil {
		return alone, nil
	}
	return r.applied(ctx, t, owner, want)
}

// pulled is the artifact that an OCIRepository has, or a HelmRelease with one as its chart,
// empty if it has none yet; tells is false of other objects.
func pulled(o object, u *unstructured.Unstructured) (revision string, tells bool) {
	switch {
	case o.Group == sourcev1.GroupVersion.Group && o.Kind == sourcev1.OCIRepositoryKind:
		revision, _, _ = unstructured.NestedString(u.Object, "status", "artifact", "revision")
		return revision, true
	case o.isKind(helmReleaseKind):
		history, _, _ := unstructured.NestedSlice(u.Object, "status", "history")
		if len(history) > 0 {
			newest, _ := history[0].(map[string]any)
			revision, _ = newest["ociDigest"].(string)
		}
		chart, _, _ := unstructured.NestedString(u.Object, "spec", "chartRef", "kind")
		return revision, revision != "" || chart == sourcev1.OCIRepositoryKind
	}
	return "", false
}

// applied says whether a Kustomization applied a content, whether or not that works.
func (r readyChecker) applied(ctx context.Context, t target, owner object, want promotion.Content) (provenance, error) {
	var k kustomizev1.Kustomization
	answer, err := r.objects.read(ctx, owner, &k)
	if err != nil || answer.Why != "" {
		return provenOther, err
	}
	condition := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
	unhealthy := condition != nil && condition.Status == metav1.ConditionFalse && condition.Reason == meta.HealthCheckFailedReason
	if r.revisions.carries(ctx, t, t.applied(&k), want) || unhealthy && r.revisions.carries(ctx, t, k.Status.LastAttemptedRevision, want) {
		return provenSame, nil
	}
	return provenOther, nil
}

// podTemplate is that of a workload.
func podTemplate(u *unstructured.Unstructured) (corev1.PodTemplateSpec, bool) {
	var template corev1.PodTemplateSpec
	content, found, err := unstructured.NestedMap(u.Object, "spec", "template")
	if err != nil || !found {
		return template, false
	}
	err = runtime.DefaultUnstructuredConverter.FromUnstructured(content, &template)
	return template, err == nil && len(template.Spec.Containers) > 0
}

func anyContainer(template corev1.PodTemplateSpec, want promotion.Content, is func(string, sluicev1.Version) bool) bool {
	return slices.ContainsFunc(slices.Concat(template.Spec.Containers, template.Spec.InitContainers), func(c corev1.Container) bool {
		return slices.ContainsFunc(want.Versions, func(v sluicev1.Version) bool { return is(c.Image, v) })
	})
}

// ofImages reports whether a workload runs any image of a content, of whichever version.
func ofImages(template corev1.PodTemplateSpec, want promotion.Content) bool {
	return anyContainer(template, want, func(image string, v sluicev1.Version) bool { return v.Image != "" && imageName(image) == v.Image })
}

// runsAny reports whether a workload runs an image of a content.
func runsAny(template corev1.PodTemplateSpec, want promotion.Content) bool {
	return anyContainer(template, want, runs)
}

// runs reports whether an image is of a version.
func runs(image string, v sluicev1.Version) bool {
	name, digest, _ := strings.Cut(image, "@")
	return (v.Image == "" || imageName(image) == v.Image) &&
		(v.Tag != "" && strings.HasSuffix(name, ":"+v.Tag) || v.Digest != "" && digest == v.Digest)
}

// imageName is an image without its tag and its digest.
func imageName(image string) string {
	name, _, _ := strings.Cut(image, "@")
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		return name[:i]
	}
	return name
}
