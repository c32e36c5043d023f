// SPDX-License-Identifier: Apache-2.0

// Package v1beta3 is the notification.toolkit.fluxcd.io/v1beta3 API: who is told what
// happens to objects.
//
// A Provider is where messages go: a chat room, a pager, a webhook, the commits of a
// repository. An Alert selects events by the objects that they are about, and by what
// they say, and names the Provider of its namespace that gets them:
//
//	event of a Kustomization --> Alert: eventSources, eventSeverity, lists --> Provider
//
// The types are wire compatible with Flux's: same JSON, same defaults. The status is a
// Sluice extension: Flux's objects of this version have none, and say in events what is
// wrong with them.
//
// +kubebuilder:object:generate=true
// +groupName=notification.toolkit.fluxcd.io
package v1beta3

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion names the API group, and the version of these kinds.
	GroupVersion = schema.GroupVersion{Group: "notification.toolkit.fluxcd.io", Version: "v1beta3"}

	// SchemeBuilder collects the types of this package.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers the types of this package with a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &Provider{}, &ProviderList{}, &Alert{}, &AlertList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
