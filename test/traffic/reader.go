// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// NewReader returns a reader that watches what traffic depends on, so that
// reading it many times a second costs the API server nothing. It sees the given
// namespaces, or all if there are none, and works until ctx ends. The kinds of the
// Gateway API have to be installed.
func NewReader(ctx context.Context, config *rest.Config, namespaces ...string) (client.Reader, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme, gatewayv1.Install} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	options := cache.Options{Scheme: scheme, DefaultNamespaces: map[string]cache.Config{}}
	for _, namespace := range namespaces {
		options.DefaultNamespaces[namespace] = cache.Config{}
	}
	watched, err := cache.New(config, options)
	if err != nil {
		return nil, err
	}
	for _, kind := range []client.Object{&gatewayv1.HTTPRoute{}, &corev1.Service{}, &discoveryv1.EndpointSlice{}, &corev1.Pod{}} {
		if _, err := watched.GetInformer(ctx, kind, cache.BlockUntilSynced(false)); err != nil {
			return nil, fmt.Errorf("watching %T: %w", kind, err)
		}
	}
	go func() { _ = watched.Start(ctx) }()
	if !watched.WaitForCacheSync(ctx) {
		return nil, fmt.Errorf("watching routes: %w", context.Cause(ctx))
	}
	return watched, nil
}
