// SPDX-License-Identifier: Apache-2.0

package router

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// ErrRefused means that the API server refuses what is made of a Canary.
var ErrRefused = errors.New("the API server refuses it")

// SetWeights implements [Router]. Users are taken off the canary also when the routes
// that the spec asks for are refused: then only the weights of the live ones change. The
// refusal is returned all the same.
func (r supported) SetWeights(ctx context.Context, c *flaggerv1.Canary, w provider.Weights) error {
	err := r.Router.SetWeights(ctx, c, w)
	if w.Canary > 0 || !errors.Is(err, ErrRefused) {
		return err
	}
	for _, o := range r.Objects(c) {
		err = errors.Join(err, r.takeOff(ctx, c, o))
	}
	return err
}

// takeOff changes no more of a route than the weights of the canary and the primary
// where it has both.
func (r supported) takeOff(ctx context.Context, c *flaggerv1.Canary, o object.Ref) error {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(o.GroupVersionKind)
	if err := r.deps.Client.Get(ctx, o.NamespacedName, live); err != nil {
		return client.IgnoreNotFound(err)
	}
	wanted := live.DeepCopy()
	hostsOf(c).leave(wanted.Object["spec"])
	return r.deps.update(ctx, o, live, wanted)
}

// leave gives the primary all that the canary has, in each list of backends that both are
// in, whatever kind of route it is of.
func (h hosts) leave(value any) {
	switch value := value.(type) {
	case map[string]any:
		for _, child := range value {
			h.leave(child)
		}
	case []any:
		primary, canary := h.backend(value, h.primary), h.backend(value, h.canary)
		if primary != nil && canary != nil {
			primary["weight"], canary["weight"] = int64(100), int64(0)
			return
		}
		for _, child := range value {
			h.leave(child)
		}
	}
}

// backend is the one of a list that leads to a Service.
func (h hosts) backend(list []any, service string) map[string]any {
	for _, entry := range list {
		to, ok := entry.(map[string]any)
		if !ok {
			continue
		}
		if to["name"] == service || to["service"] == service || to["serviceName"] == service || h.is(object.CopyMap(to, "destination"), service) {
			return to
		}
	}
	return nil
}
