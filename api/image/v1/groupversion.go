// SPDX-License-Identifier: Apache-2.0

// Package v1 is the image.toolkit.fluxcd.io/v1 API: the three kinds that turn
// a push to a registry into a commit.
//
//	ImageRepository        which tags does this image have?
//	  └─ ImagePolicy       which of them should run?
//	       └─ ImageUpdateAutomation   write that one into Git
//
// An ImagePolicy names one ImageRepository; an ImageUpdateAutomation takes the
// policies of its own namespace and one GitRepository. Each kind publishes what
// it found in its status, and the next one reads it there.
//
// The types are wire compatible with those of image-reflector-controller and
// image-automation-controller: same JSON, same defaults, same condition types
// and reasons. A field that Flux does not have says "Sluice extension".
//
// +kubebuilder:object:generate=true
// +groupName=image.toolkit.fluxcd.io
package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion names the API group and the only version served of it.
	GroupVersion = schema.GroupVersion{Group: "image.toolkit.fluxcd.io", Version: "v1"}

	// SchemeBuilder collects the types of this package.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers the types of this package with a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&ImageRepository{}, &ImageRepositoryList{},
		&ImagePolicy{}, &ImagePolicyList{},
		&ImageUpdateAutomation{}, &ImageUpdateAutomationList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
