// SPDX-License-Identifier: Apache-2.0

package make

import (
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// named is the metadata of an object that nobody has edited yet.
func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Generation: 1}
}

// changed is an object after all changes.
func changed[T any](object *T, changes []func(*T)) *T {
	for _, change := range changes {
		change(object)
	}
	return object
}

// Secret is one of no particular type.
func Secret[V ~string | ~[]byte](namespace, name string, data map[string]V, changes ...func(*corev1.Secret)) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{}}
	for key, value := range data {
		s.Data[key] = []byte(value)
	}
	return changed(s, changes)
}

// ConfigMap has some data.
func ConfigMap(namespace, name string, data map[string]string, changes ...func(*corev1.ConfigMap)) *corev1.ConfigMap {
	return changed(&corev1.ConfigMap{ObjectMeta: named(namespace, name), Data: data}, changes)
}

// Login is the Secret git of the user "user" with the password "secret", which the
// servers of test/fake accept.
func Login(namespace string) *corev1.Secret {
	return Secret(namespace, "git", map[string]string{"username": "user", "password": "secret"})
}

// GitRepository follows the branch main of a repository once an hour, without
// credentials. Nothing answers at its URL.
func GitRepository(namespace, name string, changes ...func(*sourcev1.GitRepository)) *sourcev1.GitRepository {
	return changed(&sourcev1.GitRepository{
		ObjectMeta: named(namespace, name),
		Spec: sourcev1.GitRepositorySpec{
			URL:       "https://127.0.0.1:1/" + name,
			Interval:  metav1.Duration{Duration: time.Hour},
			Reference: &sourcev1.GitRepositoryRef{Branch: "main"},
		},
	}, changes)
}

// Bucket follows a bucket of S3 once an hour, without credentials. Nothing answers there.
func Bucket(namespace, name string, changes ...func(*sourcev1.Bucket)) *sourcev1.Bucket {
	return changed(&sourcev1.Bucket{
		ObjectMeta: named(namespace, name),
		Spec: sourcev1.BucketSpec{
			Provider: sourcev1.BucketProviderGeneric, BucketName: name, Endpoint: "127.0.0.1:1", Insecure: true,
			Interval: metav1.Duration{Duration: time.Hour},
		},
	}, changes)
}

// WithSecret makes a GitRepository use a Secret of its namespace.
func WithSecret(name string) func(*sourcev1.GitRepository) {
	return func(g *sourcev1.GitRepository) { g.Spec.SecretRef = &meta.LocalObjectReference{Name: name} }
}

// OCIRepository follows the tag latest of an artifact once an hour, without credentials.
func OCIRepository(namespace, name string, changes ...func(*sourcev1.OCIRepository)) *sourcev1.OCIRepository {
	return changed(&sourcev1.OCIRepository{
		ObjectMeta: named(namespace, name),
		Spec: sourcev1.OCIRepositorySpec{
			URL: "oci://registry.example.com/team/" + name, Interval: metav1.Duration{Duration: time.Hour},
		},
	}, changes)
}

// Kustomization applies, once an hour, what is at the root of the GitRepository src,
// and deletes what is no longer there.
func Kustomization(namespace, name string, changes ...func(*kustomizev1.Kustomization)) *kustomizev1.Kustomization {
	return changed(&kustomizev1.Kustomization{
		ObjectMeta: named(namespace, name),
		Spec: kustomizev1.KustomizationSpec{
			Interval:  metav1.Duration{Duration: time.Hour},
			SourceRef: kustomizev1.CrossNamespaceSourceReference{Kind: sourcev1.GitRepositoryKind, Name: "src"},
			Prune:     true,
		},
	}, changes)
}

// ImageRepository reads the tags of an image of its name every minute. Nothing answers
// at that registry.
func ImageRepository(namespace, name string, changes ...func(*imagev1.ImageRepository)) *imagev1.ImageRepository {
	return changed(&imagev1.ImageRepository{
		ObjectMeta: named(namespace, name),
		Spec:       imagev1.ImageRepositorySpec{Image: "127.0.0.1:1/" + name, Interval: metav1.Duration{Duration: time.Minute}},
	}, changes)
}

// ImagePolicy chooses the newest version 1 of the ImageRepository app. It has not yet.
func ImagePolicy(namespace, name string, changes ...func(*imagev1.ImagePolicy)) *imagev1.ImagePolicy {
	return changed(&imagev1.ImagePolicy{
		ObjectMeta: named(namespace, name),
		Spec: imagev1.ImagePolicySpec{
			ImageRepositoryRef: meta.NamespacedObjectReference{Name: "app"},
			Policy:             imagev1.ImagePolicyChoice{SemVer: &imagev1.SemVerPolicy{Range: "1.x"}},
		},
	}, changes)
}

// Chosen makes an ImagePolicy ready, with a tag of the image app.
func Chosen(tag string) func(*imagev1.ImagePolicy) {
	return func(p *imagev1.ImagePolicy) {
		p.Status.LatestRef = &imagev1.ImageRef{Name: "app", Tag: tag}
		p.Status.Conditions = []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, ObservedGeneration: p.Generation}}
	}
}

// Deployment runs one pod of an image in a container of its name, and is labelled and
// selected by app=<its name>.
func Deployment(namespace, name, image string, changes ...func(*appsv1.Deployment)) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return changed(&appsv1.Deployment{
		ObjectMeta: named(namespace, name),
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(1)),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: name, Image: image}}},
			},
		},
	}, changes)
}

// ArtifactGenerator makes nothing yet of the GitRepository fleet, whose alias is fleet.
func ArtifactGenerator(
	namespace, name string, changes ...func(*generatorv1.ArtifactGenerator),
) *generatorv1.ArtifactGenerator {
	return changed(&generatorv1.ArtifactGenerator{
		ObjectMeta: named(namespace, name),
		Spec: generatorv1.ArtifactGeneratorSpec{
			Sources: []generatorv1.SourceReference{{Alias: "fleet", Kind: sourcev1.GitRepositoryKind, Name: "fleet"}},
		},
	}, changes)
}

// Output is an artifact of an ArtifactGenerator that has what one copy brings.
func Output(name, from, to string) generatorv1.OutputArtifact {
	return generatorv1.OutputArtifact{Name: name, Copy: []generatorv1.CopyOperation{{From: from, To: to}}}
}
