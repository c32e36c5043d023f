// SPDX-License-Identifier: Apache-2.0

// Package kinds lists the types that Sluice reads and writes: those that it
// serves, and those of Kubernetes and the Gateway API that it works with. Routers
// of meshes and ingress controllers are not among them: their objects are read and
// written without types.
package kinds

import (
	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	notificationv1beta3 "github.com/sluice-cd/sluice/api/notification/v1beta3"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Scheme returns a scheme with all of them, which is the caller's own. The error
// would be a mistake in one of the modules.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, imagev1.AddToScheme, flaggerv1.AddToScheme, sluicev1.AddToScheme,
		sourcev1.AddToScheme, generatorv1.AddToScheme, kustomizev1.AddToScheme, notificationv1.AddToScheme,
		notificationv1beta3.AddToScheme, gatewayv1.Install,
	} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return scheme, nil
}
