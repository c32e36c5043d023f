// SPDX-License-Identifier: Apache-2.0

package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// ErrNotInstalled means that the cluster does not know the kind of a route
// object. It passes when somebody installs the proxy's CRDs.
var ErrNotInstalled = errors.New("not installed")

// errTaken means that a route object is another canary's.
var errTaken = errors.New("is taken by another")

// productOf returns what brings the CRDs of an API group: that of a provider's routes,
// or KEDA's, which canaries need for something else.
func productOf(group string) (string, bool) {
	if group == "keda.sh" {
		return "KEDA", true
	}
	return provider.ProductOf(group)
}

// notInstalled is an [ErrNotInstalled] with what to do about it.
type notInstalled struct {
	kind    schema.GroupVersionKind
	product string
	cause   error
}

func (e notInstalled) Error() string {
	return fmt.Sprintf("%s of %s is %s: install the CRDs of %s", e.kind.Kind, e.kind.GroupVersion(), ErrNotInstalled, e.product)
}

func (e notInstalled) Unwrap() []error { return []error{ErrNotInstalled, e.cause} }

// Explain tells a kind that the cluster does not know, which is [ErrNotInstalled],
// from an object that is not there: to an API server whose CRD was deleted both are
// a 404.
func Explain(err error, kind schema.GroupVersionKind) error {
	product, ok := productOf(kind.Group)
	var unknown *meta.NoKindMatchError
	switch {
	case ok && (meta.IsNoMatchError(err) || errors.As(err, &unknown)):
		return notInstalled{kind, product, err}
	case ok && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) && apierrors.IsNotFound(err):
		return notInstalled{kind, product, nil}
	default:
		return err
	}
}

// read returns a route object as JSON: most proxies' Go types would drag in
// their whole code, and drop fields that they do not know. A missing object is
// a NotFound error, a missing kind is [ErrNotInstalled].
func (d Deps) read(ctx context.Context, o object.Ref) (*unstructured.Unstructured, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(o.GroupVersionKind)
	if err := d.Client.Get(ctx, o.NamespacedName, live); err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", o.Kind, o, Explain(err, o.GroupVersionKind))
	}
	return live, nil
}

// write makes an object what render says. render gets a copy of the live object,
// or an empty one that the canary owns, and changes only what is the canary's.
// Nothing is written when nothing changes; a write of somebody else in between is
// a conflict.
func (d Deps) write(ctx context.Context, c *flaggerv1.Canary, o object.Ref, render func(*unstructured.Unstructured) error) error {
	live, err := d.read(ctx, o)
	if apierrors.IsNotFound(err) {
		return d.create(ctx, c, o, render)
	}
	if err != nil {
		return err
	}
	wanted := live.DeepCopy()
	if err := d.claim(wanted, c); err != nil {
		return err
	}
	if err := render(wanted); err != nil {
		return err
	}
	return d.update(ctx, o, live, wanted)
}

func (d Deps) update(ctx context.Context, o object.Ref, live, wanted *unstructured.Unstructured) error {
	if equality.Semantic.DeepEqual(live.Object, wanted.Object) {
		return nil
	}
	patch := client.MergeFromWithOptions(live, client.MergeFromWithOptimisticLock{})
	if err := d.Client.Patch(ctx, wanted, patch); err != nil {
		return fmt.Errorf("writing %s %s: %w", o.Kind, o, invalid(err))
	}
	return nil
}

// invalid makes a refusal of what an object says terminal: it is made of the Canary,
// and nothing but an edit makes another one.
func invalid(err error) error {
	denied := apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "denied the request")
	if apierrors.IsInvalid(err) || denied {
		return terminal("%w, correct what it is made of in spec.service or spec.analysis: %w", ErrRefused, err)
	}
	return err
}

func (d Deps) create(ctx context.Context, c *flaggerv1.Canary, o object.Ref, render func(*unstructured.Unstructured) error) error {
	made := &unstructured.Unstructured{Object: map[string]any{}}
	made.SetGroupVersionKind(o.GroupVersionKind)
	made.SetName(o.Name)
	made.SetNamespace(o.Namespace)
	if o.Namespace != "" && !d.Foreign { // an object of a namespace cannot own one of the cluster
		made.SetOwnerReferences([]metav1.OwnerReference{object.OwnerReference(c)})
	}
	if err := render(made); err != nil {
		return err
	}
	if err := d.Client.Create(ctx, made); err != nil {
		return fmt.Errorf("creating %s %s: %w", o.Kind, o, Explain(invalid(err), o.GroupVersionKind))
	}
	return nil
}

// claim refuses an object that another canary made: the two would overwrite each
// other's weights for ever. One of an earlier canary of the same name is taken
// over before the garbage collector gets it. In another cluster every owner is a
// Canary of that cluster, whatever its name.
func (d Deps) claim(o *unstructured.Unstructured, c *flaggerv1.Canary) error {
	refs := o.GetOwnerReferences()
	for i, ref := range refs {
		if !object.OwnedByCanary(ref) || ref.UID == c.UID {
			continue
		}
		if ref.Name != c.Name || d.Foreign {
			return terminal("%s %s/%s %w, Canary %s: give one of the two another spec.service.name or another route",
				o.GetKind(), o.GetNamespace(), o.GetName(), errTaken, ref.Name)
		}
		refs[i] = object.OwnerReference(c)
		o.SetOwnerReferences(refs)
	}
	return nil
}

// checkPlace refuses to overwrite an object with the name of a copy that the canary does
// not own. One without an owner is the canary's if isCopy says so: an earlier Canary may
// have been deleted without it, and nothing is owned in another cluster.
func checkPlace(o *unstructured.Unstructured, c *flaggerv1.Canary, isCopy func() bool) error {
	owner := metav1.GetControllerOf(o)
	if o.GetResourceVersion() == "" || metav1.IsControlledBy(o, c) || owner == nil && isCopy() {
		return nil
	}
	return terminal("%s %s/%s has the name of a copy, %w, and is not overwritten; rename it, or delete it if an earlier Canary left it",
		o.GetKind(), o.GetNamespace(), o.GetName(), errTaken)
}

// needsNoHandBack reports whether a canary that ends has nothing to give up: the object
// is its own and goes with it, or another canary has it.
func (d Deps) needsNoHandBack(o *unstructured.Unstructured, c *flaggerv1.Canary) bool {
	return slices.ContainsFunc(o.GetOwnerReferences(), func(ref metav1.OwnerReference) bool {
		return object.OwnedByCanary(ref) && (ref.UID == c.UID || ref.Name != c.Name || d.Foreign)
	})
}
