package canary

import (
	"cmp"
	"context"
	"crypto/sha256"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// referee writes for canaries, and leaves out for a while what somebody keeps undoing.
type referee struct {
	client.Client
	fights *fights
	inMesh bool
}

// fieldManager is the name under which the API server notes the writes of a client.
func fieldManager(config *rest.Config) string {
	name, _, _ := strings.Cut(cmp.Or(config.UserAgent, rest.DefaultKubernetesUserAgent()), "/")
	return name
}

// Create implements [client.Writer].
func (r *referee) Create(ctx context.Context, object client.Object, opts ...client.CreateOption) error {
	return r.write(ctx, "create", object, nil, func() error { return r.Client.Create(ctx, object, opts...) })
}

// Update implements [client.Writer].
func (r *referee) Update(ctx context.Context, object client.Object, opts ...client.UpdateOption) error {
	return r.write(ctx, "update", object, nil, func() error { return r.Client.Update(ctx, object, opts...) })
}

// Patch implements [client.Writer].
func (r *referee) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return r.write(ctx, "patch", object, patch, func() error { return r.Client.Patch(ctx, object, patch, opts...) })
}

func (r *referee) write(ctx context.Context, verb string, object client.Object, patch client.Patch, do func() error) error {
	canary, acting := ctx.Value(actingFor{}).(types.NamespacedName)
	of, wrote, ok := r.about(verb, object, patch)
	if !acting || !ok {
		return do()
	}
	if r.fights.paused(of, wrote) {
		return nil
	}
	who, before := r.fights.undoing(verb, object), object.GetResourceVersion()
	if err := do(); err != nil {
		return err
	}
	if object.GetResourceVersion() != before { // or nothing was undone
		r.fights.noted(canary, of, wrote, who)
	}
	return nil
}

// about is what a write is about, and what it says.
func (r *referee) about(verb string, object client.Object, patch client.Patch) (of thing, wrote [sha256.Size]byte, ok bool) {
	kind, err := r.GroupVersionKindFor(object)
	if err != nil || object.GetName() == "" {
		return thing{}, wrote, false
	}
	wrote, ok = digest(verb, object, patch)
	return thing{sort{kind, r.inMesh}, client.ObjectKeyFromObject(object)}, wrote, ok
}
