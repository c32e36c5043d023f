// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 is the sluice.dev/v1alpha1 API: what carries a version from one
// environment to the next.
//
//	Pipeline   takes a bundle of artifacts through stages, by commit, pull request or
//	           tag, and takes it back where it fails
//	Freeze     stops selected pipelines for a while; cluster-scoped, so that those who
//	           own a pipeline cannot edit it
//
// A bundle is one version of each artifact of a pipeline. What a stage has is read from
// the content of its branch, never from a status: whoever commits there, and however,
// is seen. What was decided about bundles, such as that one is quarantined, is kept in
// a file on a branch of the same repository.
//
// +kubebuilder:object:generate=true
// +groupName=sluice.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion names the API group and the only version served of it.
	GroupVersion = schema.GroupVersion{Group: "sluice.dev", Version: "v1alpha1"}

	// SchemeBuilder collects the types of this package.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers the types of this package with a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Pipeline{}, &PipelineList{},
		&Freeze{}, &FreezeList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
