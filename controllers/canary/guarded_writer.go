// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"
	"context"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// guardedWriter is a client that leaves out for a while, of what it writes for canaries,
// what somebody keeps undoing.
type guardedWriter struct {
	client.Client
	contentions *contentions
	cluster     clusterName
}

// fieldManager is the name under which the API server notes the writes of a client.
func fieldManager(config *rest.Config) string {
	name, _, _ := strings.Cut(cmp.Or(config.UserAgent, rest.DefaultKubernetesUserAgent()), "/")
	return name
}

// Create implements [client.Writer].
func (w *guardedWriter) Create(ctx context.Context, object client.Object, opts ...client.CreateOption) error {
	return w.write(ctx, "create", object, nil, func() error { return w.Client.Create(ctx, object, opts...) })
}

// Update implements [client.Writer].
func (w *guardedWriter) Update(ctx context.Context, object client.Object, opts ...client.UpdateOption) error {
	return w.write(ctx, "update", object, nil, func() error { return w.Client.Update(ctx, object, opts...) })
}

// Patch implements [client.Writer].
func (w *guardedWriter) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return w.write(ctx, "patch", object, patch, func() error { return w.Client.Patch(ctx, object, patch, opts...) })
}

func (w *guardedWriter) write(ctx context.Context, verb string, object client.Object, patch client.Patch, do func() error) error {
	canary, acting := ctx.Value(actingFor{}).(types.NamespacedName)
	of, wrote, ok := w.describe(verb, object, patch)
	if !acting || !ok {
		return do()
	}
	if w.contentions.paused(of, wrote) {
		return nil
	}
	who, before := w.contentions.contenderOf(verb, object, wrote), object.GetResourceVersion()
	if err := do(); err != nil {
		return err
	}
	if object.GetResourceVersion() != before { // or nothing was undone
		w.contentions.written(canary, of, wrote, who)
	}
	return nil
}

// describe names the object of a write, and what it says.
func (w *guardedWriter) describe(verb string, object client.Object, patch client.Patch) (of clusterRef, wrote writeDigest, ok bool) {
	kind, err := w.GroupVersionKindFor(object)
	if err != nil || object.GetName() == "" {
		return clusterRef{}, writeDigest{}, false
	}
	wrote, ok = contentOf(verb, object, patch)
	return clusterRef{clusterKind{kind, w.cluster}, client.ObjectKeyFromObject(object)}, wrote, ok
}
