// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	"github.com/spf13/pflag"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/controllers/pipeline"
)

// watchFlags say which objects are served.
type watchFlags struct {
	allNamespaces bool
	namespace     string
	selector      string
	// configs selects the Secrets and ConfigMaps whose changes are acted on.
	configs string
}

func (f *watchFlags) register(set *pflag.FlagSet) {
	set.BoolVar(&f.allNamespaces, "watch-all-namespaces", true, "serve all namespaces; false serves only the one of --namespace")
	set.StringVar(&f.namespace, "watch-namespace", "", "serve only this namespace; default: all")
	set.StringVar(&f.selector, "watch-label-selector", "",
		"serve only objects with these labels, such as sharding.fluxcd.io/key=shard1; what they refer to must have them too")
	set.StringVar(&f.configs, "watch-configs-label-selector", "", "act at once only on changes of Secrets and ConfigMaps with these labels, "+
		"of those that objects refer to, such as "+meta.LabelKeyWatch+"="+meta.LabelValueWatchEnabled+", which is Flux's default; "+
		"other changes count at the next interval; default: all that objects refer to")
}

func (f *watchFlags) validate() error {
	if _, err := labels.Parse(f.selector); err != nil {
		return fmt.Errorf("--watch-label-selector: %w", err)
	}
	if _, err := labels.Parse(f.configs); err != nil {
		return fmt.Errorf("--watch-configs-label-selector: %w", err)
	}
	return nil
}

// served are the kinds that --watch-label-selector selects from. Freezes are not among
// them: one that a shard does not see would let its pipelines go on.
func served() []client.Object {
	return []client.Object{
		&imagev1.ImageRepository{}, &imagev1.ImagePolicy{}, &imagev1.ImageUpdateAutomation{}, &sourcev1.GitRepository{},
		&sourcev1.OCIRepository{}, &sourcev1.Bucket{}, &sourcev1.ExternalArtifact{}, &generatorv1.ArtifactGenerator{},
		&kustomizev1.Kustomization{}, &notificationv1.Receiver{}, &flaggerv1.Canary{}, &sluicev1.Pipeline{},
	}
}

// restrict limits what the cache holds. Own is the namespace of the controller.
func (f *watchFlags) restrict(options *cache.Options, own string) error {
	options.ByObject = map[client.Object]cache.ByObject{
		// Nothing refers to the releases of Helm, which may be thousands.
		&corev1.Secret{}:    {Field: fields.OneTermNotEqualSelector("type", "helm.sh/release.v1"), Transform: withoutContents()},
		&corev1.ConfigMap{}: {Transform: withoutContents()},
	}
	for _, kind := range []client.Object{&admissionv1.ValidatingAdmissionPolicy{}, &admissionv1.ValidatingAdmissionPolicyBinding{}} {
		options.ByObject[kind] = cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", pipeline.PolicyName)}
	}
	if namespace := f.only(own); namespace != "" {
		options.DefaultNamespaces = map[string]cache.Config{namespace: {}}
		options.ByObject[&corev1.Namespace{}] = cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", namespace)}
	}
	if f.selector == "" {
		return nil
	}
	selector, err := labels.Parse(f.selector)
	if err != nil {
		return fmt.Errorf("--watch-label-selector: %w", err)
	}
	for _, kind := range served() {
		options.ByObject[kind] = cache.ByObject{Label: selector}
	}
	return nil
}

// only is the namespace that is served, of a controller in namespace own; empty is all.
func (f *watchFlags) only(own string) string {
	if f.namespace == "" && !f.allNamespaces {
		return own
	}
	return f.namespace
}

// withoutContents removes managed fields, and the annotation in which kubectl repeats
// the contents of Secrets and ConfigMaps: the cache is for their metadata alone.
func withoutContents() toolscache.TransformFunc {
	strip := cache.TransformStripManagedFields()
	return func(in any) (any, error) {
		if object, err := apimeta.Accessor(in); err == nil {
			delete(object.GetAnnotations(), corev1.LastAppliedConfigAnnotation)
		}
		return strip(in)
	}
}
