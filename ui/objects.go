// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/report"
)

// objects reads from the cache what lanes are made of, as far as the user may.
func (v *view) objects(ctx context.Context) (report.Objects, error) {
	var repositories imagev1.ImageRepositoryList
	var policies imagev1.ImagePolicyList
	var automations imagev1.ImageUpdateAutomationList
	var kustomizations kustomizev1.KustomizationList
	var canaries flaggerv1.CanaryList
	var pipelines sluicev1.PipelineList
	for _, list := range []client.ObjectList{&repositories, &policies, &automations, &kustomizations, &canaries, &pipelines} {
		if err := v.list(ctx, list); err != nil {
			return report.Objects{}, err
		}
	}
	sources, err := v.sources(ctx)
	if err != nil {
		return report.Objects{}, err
	}
	of, err := v.scope(ctx)
	if err != nil {
		return report.Objects{}, err
	}
	workloads, err := v.workloads(ctx)
	return report.Objects{
		Repositories: repositories.Items, Policies: policies.Items, Automations: automations.Items, Sources: sources,
		Kustomizations: kustomizations.Items, Canaries: canaries.Items, Pipelines: pipelines.Items, Workloads: workloads,
		WhyUnlisted: func(kind, namespace string) string { return v.whyUnlisted(of, kind, namespace) },
	}, err
}

func (v *view) sources(ctx context.Context) ([]report.Source, error) {
	var found []report.Source
	var git sourcev1.GitRepositoryList
	var oci sourcev1.OCIRepositoryList
	var buckets sourcev1.BucketList
	var external sourcev1.ExternalArtifactList
	for _, list := range []client.ObjectList{&git, &oci, &buckets, &external} {
		if err := v.list(ctx, list); err != nil {
			return nil, err
		}
	}
	for i := range git.Items {
		s := &git.Items[i]
		found = append(found, report.Source{
			Kind: sourcev1.GitRepositoryKind, ObjectMeta: s.ObjectMeta, Suspended: s.Spec.Suspend, Interval: s.Spec.Interval.Duration,
			ObservedGeneration: s.Status.ObservedGeneration, Conditions: s.Status.Conditions, Artifact: s.Status.Artifact,
		})
	}
	for i := range oci.Items {
		s := &oci.Items[i]
		found = append(found, report.Source{
			Kind: sourcev1.OCIRepositoryKind, ObjectMeta: s.ObjectMeta, Suspended: s.Spec.Suspend, Interval: s.Spec.Interval.Duration,
			ObservedGeneration: s.Status.ObservedGeneration, Conditions: s.Status.Conditions, Artifact: s.Status.Artifact,
		})
	}
	for i := range buckets.Items {
		s := &buckets.Items[i]
		found = append(found, report.Source{
			Kind: sourcev1.BucketKind, ObjectMeta: s.ObjectMeta, Suspended: s.Spec.Suspend, Interval: s.Spec.Interval.Duration,
			ObservedGeneration: s.Status.ObservedGeneration, Conditions: s.Status.Conditions, Artifact: s.Status.Artifact,
		})
	}
	for i := range external.Items {
		s := &external.Items[i]
		found = append(found, report.Source{Kind: sourcev1.ExternalArtifactKind, ObjectMeta: s.ObjectMeta,
			ObservedGeneration: s.Generation, Conditions: s.Status.Conditions, Artifact: s.Status.Artifact})
	}
	return found, nil
}

func (v *view) workloads(ctx context.Context) ([]report.Workload, error) {
	var found []report.Workload
	var deployments appsv1.DeploymentList
	var sets appsv1.StatefulSetList
	var daemons appsv1.DaemonSetList
	for _, list := range []client.ObjectList{&deployments, &sets, &daemons} {
		if err := v.list(ctx, list); err != nil {
			return nil, err
		}
	}
	for i := range deployments.Items {
		d := &deployments.Items[i]
		w := workloadOf("Deployment", d.ObjectMeta, d.Spec.Template)
		w.Wanted, w.Updated, w.Available = replicas(d.Spec.Replicas), d.Status.UpdatedReplicas, d.Status.AvailableReplicas
		w.Stuck, w.Since = rolloutOf(d.Status.Conditions)
		found = append(found, w)
	}
	for i := range sets.Items {
		s := &sets.Items[i]
		w := workloadOf("StatefulSet", s.ObjectMeta, s.Spec.Template)
		w.Wanted, w.Updated, w.Available = replicas(s.Spec.Replicas), s.Status.UpdatedReplicas, s.Status.AvailableReplicas
		found = append(found, w)
	}
	for i := range daemons.Items {
		d := &daemons.Items[i]
		w := workloadOf("DaemonSet", d.ObjectMeta, d.Spec.Template)
		w.Wanted, w.Updated, w.Available = d.Status.DesiredNumberScheduled, d.Status.UpdatedNumberScheduled, d.Status.NumberAvailable
		found = append(found, w)
	}
	return found, nil
}

// rolloutOf says why the rollout of a Deployment does not go on, and since when, or else when it lost its last pod or the last
// rollout ended.
func rolloutOf(conditions []appsv1.DeploymentCondition) (stuck string, since *metav1.Time) {
	var ended, unavailable *metav1.Time
	for i := range conditions {
		is := &conditions[i]
		switch {
		case is.Type == appsv1.DeploymentProgressing && is.Status == corev1.ConditionFalse,
			is.Type == appsv1.DeploymentReplicaFailure && is.Status == corev1.ConditionTrue:
			stuck, since = is.Message, &is.LastTransitionTime
		case is.Type == appsv1.DeploymentProgressing && is.Reason == rolloutEnded:
			ended = &is.LastUpdateTime
		case is.Type == appsv1.DeploymentAvailable && is.Status == corev1.ConditionFalse:
			unavailable = &is.LastTransitionTime
		}
	}
	switch {
	case since != nil:
		return stuck, since
	case unavailable != nil:
		return "", unavailable
	}
	return "", ended
}

// rolloutEnded is the reason of the condition Progressing of a Deployment whose pods are all of its newest template.
const rolloutEnded = "NewReplicaSetAvailable"

// Labels of what a Kustomization applied.
const (
	kustomizationName      = "kustomize.toolkit.fluxcd.io/name"
	kustomizationNamespace = "kustomize.toolkit.fluxcd.io/namespace"
)

func workloadOf(kind string, of metav1.ObjectMeta, template corev1.PodTemplateSpec) report.Workload {
	w := report.Workload{Kind: kind, Namespace: of.Namespace, Name: of.Name, Primary: isPrimary(of)}
	if !w.Primary { // which has its target's labels
		w.Kustomization = metav1.ObjectMeta{Namespace: of.Labels[kustomizationNamespace], Name: of.Labels[kustomizationName]}
	}
	for _, c := range template.Spec.Containers {
		w.Images = append(w.Images, c.Image)
	}
	return w
}

// isPrimary reports whether a Canary made a workload.
func isPrimary(of metav1.ObjectMeta) bool {
	owner := metav1.GetControllerOf(&of)
	return owner != nil && owner.Kind == flaggerv1.CanaryKind && strings.HasPrefix(owner.APIVersion, flaggerv1.GroupVersion.Group+"/")
}

// replicas are those of a spec, which has one where it says nothing.
func replicas(of *int32) int32 {
	if of == nil {
		return 1
	}
	return *of
}
