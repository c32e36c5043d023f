// SPDX-License-Identifier: Apache-2.0

package router

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

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
	return errors.Join(err, r.TakeOff(ctx, c))
}

// TakeOff implements [Router]. A copy of the owner's route says in its own way what share
// the canary gets; all others have a list of both.
func (s singleObject) TakeOff(ctx context.Context, c *flaggerv1.Canary) error {
	return s.changeOwn(ctx, c, s.object(c), func(o *unstructured.Unstructured) error {
		if err := s.checkCopy(o, c); err != nil {
			return err
		}
		if format, ok := s.routeFormat.(copyFormat); ok {
			return format.updateWeights(o, c, provider.ToPrimary)
		}
		return leave(o, c)
	})
}

// TakeOff implements [Router].
func (g gatewayAPI) TakeOff(ctx context.Context, c *flaggerv1.Canary) error {
	return g.changeOwn(ctx, c, g.object(c), func(o *unstructured.Unstructured) error { return leave(o, c) })
}

// TakeOff implements [Router].
func (i istio) TakeOff(ctx context.Context, c *flaggerv1.Canary) error {
	return i.changeOwn(ctx, c, virtualService(c), func(o *unstructured.Unstructured) error { return leave(o, c) })
}

// TakeOff implements [Router]: a split is nothing but weights.
func (k knative) TakeOff(ctx context.Context, c *flaggerv1.Canary) error {
	return k.SetWeights(ctx, c, provider.ToPrimary)
}

// TakeOff implements [Router]: nothing of a spec but its target is in a partition.
func (r inPlace) TakeOff(ctx context.Context, c *flaggerv1.Canary) error {
	return r.SetWeights(ctx, c, provider.ToPrimary)
}

// TakeOff does nothing.
func (services) TakeOff(context.Context, *flaggerv1.Canary) error { return nil }

// leave gives the primary all that the canary has, in each list of backends of a route that
// both are in.
func leave(route *unstructured.Unstructured, c *flaggerv1.Canary) error {
	newCopyNames(c).leave(route.Object["spec"])
	return nil
}

// copyNames are what the two copies are called as backends of routes.
type copyNames struct {
	namespace       string
	primary, canary []string
}

// newCopyNames lists the Services, and what the Upstreams of Gloo and the tags of Kuma begin
// with: a port follows, which the spec may have had another one of.
func newCopyNames(c *flaggerv1.Canary) copyNames {
	_, primary, canary := c.ServiceNames()
	upstreams, tag := glooNames(c), "_"+c.Namespace+"_svc_"
	return copyNames{
		namespace: c.Namespace,
		primary:   []string{primary, strings.TrimRight(upstreams.primary, "0123456789"), primary + tag},
		canary:    []string{canary, strings.TrimRight(upstreams.canary, "0123456789"), canary + tag},
	}
}

func (n copyNames) leave(value any) {
	switch value := value.(type) {
	case map[string]any:
		for _, child := range value {
			n.leave(child)
		}
	case []any:
		primary, canary := n.backend(value, n.primary), n.backend(value, n.canary)
		if primary != nil && canary != nil {
			updateWeights(primary, provider.ToPrimary.Primary)
			updateWeights(canary, provider.ToPrimary.Canary)
			return
		}
		for _, child := range value {
			n.leave(child)
		}
	}
}

// updateWeights gives a backend a weight, as a text where it had one.
func updateWeights(backend entry, weight int) {
	if _, ok := backend["weight"].(string); ok {
		backend["weight"] = strconv.Itoa(weight)
		return
	}
	backend["weight"] = int64(weight)
}

// backendPaths are where the various kinds of routes name the Service of a backend.
var backendPaths = [][]string{
	{"name"}, {"service"}, {"serviceName"}, {"destination", "host"}, {"destination", "upstream", "name"}, {"destination", kumaService},
}

// backend is the one of a list that leads to a copy.
func (n copyNames) backend(list []any, names []string) entry {
	for _, item := range list {
		to, ok := item.(entry)
		if !ok {
			continue
		}
		for _, path := range backendPaths {
			if n.matches(object.Text(to, path...), names) {
				return to
			}
		}
	}
	return nil
}

// matches compares what a backend is called with the names of a copy. The hosts of a mesh may
// have a namespace, Upstreams and tags have a port.
func (n copyNames) matches(called string, names []string) bool {
	host := hosts{namespace: n.namespace}
	for i, name := range names {
		rest, begins := strings.CutPrefix(called, name)
		_, notPort := strconv.Atoi(rest)
		if i == 0 && host.refersTo(entry{"host": called}, name) || i > 0 && begins && notPort == nil {
			return true
		}
	}
	return false
}
