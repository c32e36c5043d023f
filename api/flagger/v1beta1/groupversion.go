// SPDX-License-Identifier: Apache-2.0

// Package v1beta1 is the flagger.app/v1beta1 API: progressive delivery of one
// workload.
//
// A Canary names a workload, says how the users' traffic moves to its next
// version, and which measurements decide. Sluice runs the workload twice, as
// <name> (the canary) and <name>-primary, and moves status.phase along:
//
//	Initializing -> Initialized -> Progressing -> Promoting -> Finalising -> Succeeded
//	                     ^             │                                         │
//	                     │             └──────────> Failed                       │
//	                     └── a new version starts over from here ────────────────┘
//
// A MetricTemplate is a query that Canaries share; an AlertProvider is a chat
// room that hears about them. The types are wire compatible with Flagger's: same
// JSON, same defaults. A field that Flagger does not have says "Sluice
// extension". Fields that only Istio's objects need are kept as they are
// written, so that this package depends on no mesh.
//
// +kubebuilder:object:generate=true
// +groupName=flagger.app
package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion names the API group and the only version served of it.
	GroupVersion = schema.GroupVersion{Group: "flagger.app", Version: "v1beta1"}

	// SchemeBuilder collects the types of this package.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers the types of this package with a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Canary{}, &CanaryList{},
		&MetricTemplate{}, &MetricTemplateList{},
		&AlertProvider{}, &AlertProviderList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
