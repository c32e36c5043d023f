// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"slices"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
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
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/promotion"
)

// application is what Argo CD says of an Application (argoproj.io/v1alpha1).
type application struct {
	metav1.ObjectMeta `json:"metadata"`
	Status            struct {
		ReconciledAt metav1.Time `json:"reconciledAt"`
		Health       struct {
			Status  string `json:"status"`
			Message string `json:"message"`
		} `json:"health"`
		Sync           applicationSync `json:"sync"`
		OperationState struct {
			Phase      string          `json:"phase"`
			Message    string          `json:"message"`
			FinishedAt metav1.Time     `json:"finishedAt"`
			SyncResult applicationSync `json:"syncResult"`
		} `json:"operationState"`
	} `json:"status"`
}

// applicationSync is what was synced, from one source or from several.
type applicationSync struct {
	Status    string   `json:"status"`
	Revision  string   `json:"revision"`
	Revisions []string `json:"revisions"`
}

// application says whether an Application of Argo CD runs a content: what it synced last
// says the same, and it was looked at since.
func (r *run) application(ctx context.Context, t target, o object, want promotion.Content) (readiness, error) {
	u := &unstructured.Unstructured{}
	answer, err := r.read(ctx, o, u)
	if err != nil || answer.Why != "" {
		return absent(answer), err
	}
	var app application
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &app); err != nil {
		return progressing("%s cannot be read: %s", o, err), nil
	}
	s := app.Status
	synced := slices.Concat(s.OperationState.SyncResult.Revisions, []string{s.OperationState.SyncResult.Revision})
	if s.OperationState.FinishedAt.IsZero() && s.OperationState.Phase == "" { // its content was there before it
		synced = slices.Concat(s.Sync.Revisions, []string{s.Sync.Revision})
	}
	has := slices.ContainsFunc(synced, func(revision string) bool { return r.carries(ctx, t, revision, want) })
	looked := !s.ReconciledAt.Time.Before(s.OperationState.FinishedAt.Time)
	switch {
	case !has:
		return progressing("%s has not synced this version yet", o), nil
	case s.OperationState.Phase == "Failed":
		return failed("%s could not be synced: %s", o, s.OperationState.Message), nil
	case s.OperationState.Phase == "Running" || !looked:
		return progressing("%s is being synced", o), nil
	case s.Health.Status == "Degraded":
		return failed("%s is Degraded: %s", o, s.Health.Message), nil
	case s.Sync.Status != "Synced" || s.Health.Status != "Healthy":
		return progressing("%s is %s and %s", o, s.Sync.Status, s.Health.Status), nil
	}
	return ready, nil
}

// anyObject says whether an object of any kind is Ready (for workloads: rolled out) with
// its newest generation, and runs a content.
func (r *run) anyObject(ctx context.Context, t target, o object, want promotion.Content) (readiness, error) {
	u := &unstructured.Unstructured{}
	answer, err := r.read(ctx, o, u)
	if err != nil || answer.Why != "" {
		return absent(answer), err
	}
	has, err := r.provenance(ctx, t, o, u, want)
	if err != nil {
		return readiness{}, err
	}
	health := healthOf(ctx, u)
	suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend")
	switch {
	case has == provenOther:
		return progressing("%s does not have this version yet", o), nil
	case suspended && o.isKind(helmReleaseKind):
		return progressing("%s is suspended", o), nil
	case health.Status == status.FailedStatus && has == provenSame:
		return failed("%s: %s", o, health.Message), nil
	case health.Status != status.CurrentStatus:
		return readiness{state: promotion.ReadinessProgressing, why: o.String() + " is not Ready: " + health.Message, silent: has == unproven}, nil
	}
	return readiness{state: promotion.ReadinessReady, silent: has == unproven}, nil
}

// computed are the groups whose kinds are healthy by what they count, without a Ready
// condition.
var computed = []string{"apps", "batch"}

// healthOf is the kstatus of an object. One of somebody's own kind has to say that it is
// Ready: kstatus takes one that says nothing for healthy.
func healthOf(ctx context.Context, u *unstructured.Unstructured) status.Result {
	result := status.Result{Status: status.UnknownStatus}
	err := background.Try(ctx, func() error { // anybody may write anything into a status
		computed, err := status.Compute(u)
		if err == nil {
			result = *computed
		}
		return err
	})
	if err != nil {
		result.Message = err.Error()
	}
	if result.Status != status.CurrentStatus || slices.Contains(computed, u.GroupVersionKind().Group) {
		return result
	}
	with, err := status.GetObjectWithConditions(u.Object)
	if err != nil {
		return status.Result{Status: status.UnknownStatus, Message: err.Error()}
	}
	for _, c := range with.Status.Conditions {
		if c.Type == meta.ReadyCondition && c.Status == corev1.ConditionTrue {
			return result
		}
	}
	return status.Result{Status: status.InProgressStatus, Message: "it has no Ready condition"}
}

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
func (r *run) provenance(ctx context.Context, t target, o object, u *unstructured.Unstructured, want promotion.Content) (provenance, error) {
	if template, ok := podTemplate(u); ok && ofImages(template, want) {
		if runsAny(template, want) {
			return provenSame, nil
		}
		return provenOther, nil
	}
	if t.tag != nil && r.pulled(t, o, u, want) {
		return provenSame, nil
	}
	labels := u.GetLabels()
	if name := labels[helmName]; name != "" {
		release := &unstructured.Unstructured{}
		owner := o.of(groupVersions[helmReleaseKind].WithKind(helmReleaseKind), types.NamespacedName{Namespace: labels[helmNamespace], Name: name})
		if r.mayLookAt(owner) != nil {
			return unproven, nil
		}
		if answer, err := r.read(ctx, owner, release); err != nil || answer.Why != "" {
			return provenOther, err
		}
		labels = release.GetLabels()
	}
	if labels[kustomizeName] == "" {
		return unproven, nil
	}
	owner := o.of(groupVersions[kustomizationKind].WithKind(kustomizationKind), types.NamespacedName{Namespace: labels[kustomizeNamespace], Name: labels[kustomizeName]})
	if r.mayLookAt(owner) != nil {
		return unproven, nil
	}
	return r.applied(ctx, t, owner, want)
}

// pulled reports whether an OCIRepository, or a HelmRelease with one as its chart, has the
// artifact of a tag.
func (r *run) pulled(t target, o object, u *unstructured.Unstructured, want promotion.Content) bool {
	revision := ""
	switch {
	case o.Group == sourcev1.GroupVersion.Group && o.Kind == sourcev1.OCIRepositoryKind:
		revision, _, _ = unstructured.NestedString(u.Object, "status", "artifact", "revision")
	case o.isKind(helmReleaseKind):
		history, _, _ := unstructured.NestedSlice(u.Object, "status", "history")
		if len(history) > 0 {
			newest, _ := history[0].(map[string]any)
			revision, _ = newest["ociDigest"].(string)
		}
	}
	return tagCarries(artifactOf(r.pipeline, t.tag), revision, want)
}

// applied says whether a Kustomization applied a content, whether or not that works.
func (r *run) applied(ctx context.Context, t target, owner object, want promotion.Content) (provenance, error) {
	var k kustomizev1.Kustomization
	answer, err := r.read(ctx, owner, &k)
	if err != nil || answer.Why != "" {
		return provenOther, err
	}
	condition := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
	unhealthy := condition != nil && condition.Status == metav1.ConditionFalse && condition.Reason == meta.HealthCheckFailedReason
	if r.carries(ctx, t, t.applied(&k), want) || unhealthy && r.carries(ctx, t, k.Status.LastAttemptedRevision, want) {
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
