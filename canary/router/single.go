// SPDX-License-Identifier: Apache-2.0

package router

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// singleObject is a router whose weights are in one object. It reads, writes and gives
// up the object; what is in it is the provider's business.
type singleObject struct {
	Deps
	routeFormat
}

// routeFormat is how a provider writes weights into its object.
type routeFormat interface {
	// object names it.
	object(c *flaggerv1.Canary) object.Ref
	// render changes what is the canary's in a draft, so that it says w.
	render(d draft, w provider.Weights) error
	// weights reads them back; an object that does not mention the canary is
	// stable.
	weights(live *unstructured.Unstructured, c *flaggerv1.Canary) (provider.Weights, error)
	// release sends the users of both copies to the apex Service.
	release(live *unstructured.Unstructured, c *flaggerv1.Canary) error
}

// restrictedFormat is a format that cannot say everything that its provider's fields may say.
type restrictedFormat interface {
	// Supports is that of [Router].
	Supports(c *flaggerv1.Canary) error
}

// copyFormat is a format that is made from an object of the owner's.
type copyFormat interface {
	// origin names that object, and originField the field that does.
	origin(c *flaggerv1.Canary) object.Ref
	originField() string
	// updateWeights changes nothing but the weights of a copy that is there.
	updateWeights(live *unstructured.Unstructured, c *flaggerv1.Canary, w provider.Weights) error
	// isCopy reports whether an object that nobody owns is a copy for the canary.
	isCopy(live *unstructured.Unstructured, c *flaggerv1.Canary) bool
}

// draft is an object on its way to be written.
type draft struct {
	*unstructured.Unstructured
	canary *flaggerv1.Canary
	// from is the object that this one is a copy of; nil for those that are none.
	from *unstructured.Unstructured
}

// made reports whether the object is there already.
func (d draft) made() bool { return d.GetResourceVersion() != "" }

// Supports asks the format, if there is anything that it refuses.
func (s singleObject) Supports(c *flaggerv1.Canary) error {
	if format, ok := s.routeFormat.(restrictedFormat); ok {
		return format.Supports(c)
	}
	return nil
}

// Reconcile writes the object around the weights that it carries now.
func (s singleObject) Reconcile(ctx context.Context, c *flaggerv1.Canary) error {
	return s.apply(ctx, c, func(d draft) (provider.Weights, error) {
		if !d.made() {
			return provider.ToPrimary, nil
		}
		return s.weights(d.Unstructured, c)
	})
}

// SetWeights writes the whole object, so that one that was deleted in between
// comes back right. A copy whose original is gone, or leads elsewhere now, gets
// its weights all the same: users have to be taken off a bad canary whatever
// became of the rest.
func (s singleObject) SetWeights(ctx context.Context, c *flaggerv1.Canary, w provider.Weights) error {
	whole := s.apply(ctx, c, func(draft) (provider.Weights, error) { return w, nil })
	format, ok := s.routeFormat.(copyFormat)
	if whole == nil || !ok || !errors.Is(whole, errOrigin) {
		return whole
	}
	return s.write(ctx, c, s.object(c), func(o *unstructured.Unstructured) error {
		if o.GetResourceVersion() == "" {
			return whole
		}
		if err := s.checkCopy(o, c); err != nil {
			return err
		}
		return format.updateWeights(o, c, w)
	})
}

// errOrigin means that there is nothing to copy.
var errOrigin = errors.New("nothing to copy")

func (s singleObject) apply(ctx context.Context, c *flaggerv1.Canary, weigh func(draft) (provider.Weights, error)) error {
	var from *unstructured.Unstructured
	if format, ok := s.routeFormat.(copyFormat); ok {
		read, err := s.read(ctx, format.origin(c))
		if apierrors.IsNotFound(err) {
			return fmt.Errorf("%s: %s %s %w, so that there is %w; create it, or correct the reference",
				format.originField(), format.origin(c).Kind, format.origin(c), object.ErrMissing, errOrigin)
		}
		if err != nil {
			return err
		}
		from = read
	}
	return s.write(ctx, c, s.object(c), func(o *unstructured.Unstructured) error {
		d := draft{Unstructured: o, canary: c, from: from}
		if err := s.checkCopy(o, c); err != nil {
			return err
		}
		w, err := weigh(d)
		if err != nil {
			return err
		}
		return s.render(d, w)
	})
}

// Weights reads them from the live object.
func (s singleObject) Weights(ctx context.Context, c *flaggerv1.Canary) (provider.Weights, error) {
	live, err := s.read(ctx, s.object(c))
	if err != nil {
		return provider.Weights{}, err
	}
	if format, ok := s.routeFormat.(statusFormat); ok {
		if refused := format.notAccepted(live); refused != nil {
			return provider.Weights{}, refused
		}
	}
	return s.weights(live, c)
}

// Finalize sends users to the apex Service also by an object that goes with the
// canary: the garbage collector may well take the primary first.
func (s singleObject) Finalize(ctx context.Context, c *flaggerv1.Canary) error {
	return s.handBack(ctx, c, s.object(c), func(o *unstructured.Unstructured, c *flaggerv1.Canary) error {
		if err := s.checkCopy(o, c); err != nil {
			return err
		}
		return s.release(o, c)
	})
}

// checkCopy refuses to write a copy over an object of somebody else.
func (s singleObject) checkCopy(o *unstructured.Unstructured, c *flaggerv1.Canary) error {
	format, ok := s.routeFormat.(copyFormat)
	if !ok {
		return nil
	}
	return checkPlace(o, c, func() bool { return format.isCopy(o, c) })
}

// handBack changes an object for the last time. One that does not exist, or that
// another canary has meanwhile, needs nothing.
func (d Deps) handBack(
	ctx context.Context, c *flaggerv1.Canary, o object.Ref,
	release func(*unstructured.Unstructured, *flaggerv1.Canary) error,
) error {
	return d.changeOwn(ctx, c, o, func(wanted *unstructured.Unstructured) error {
		if err := release(wanted, c); err != nil {
			return err
		}
		object.EnableFlux(wanted)
		return nil
	})
}

// changeOwn changes an object of a canary. One that does not exist, or that another canary
// has, is left alone.
func (d Deps) changeOwn(
	ctx context.Context, c *flaggerv1.Canary, o object.Ref, change func(*unstructured.Unstructured) error,
) error {
	live, err := d.read(ctx, o)
	if apierrors.IsNotFound(err) || errors.Is(err, ErrNotInstalled) {
		return nil
	}
	if err != nil {
		return err
	}
	wanted := live.DeepCopy()
	if err = d.claim(wanted, c); err == nil {
		err = change(wanted)
	}
	if errors.Is(err, errTaken) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.update(ctx, o, live, wanted)
}

// Objects are the object and what it is a copy of.
func (s singleObject) Objects(c *flaggerv1.Canary) []object.Ref {
	objects := []object.Ref{s.object(c)}
	if format, ok := s.routeFormat.(copyFormat); ok {
		objects = append(objects, format.origin(c))
	}
	return objects
}

// apexMetadata gives a generated object the labels and annotations that the
// canary wants on it, and keeps Flux off.
func apexMetadata(d draft) {
	if apex := d.canary.Spec.Service.Apex; apex != nil {
		addLabels(d, apex.Labels)
		d.SetAnnotations(object.Merge(d.GetAnnotations(), apex.Annotations))
	}
	object.DisableFlux(d)
}

// addLabels writes no empty map: the API server would not hand it back.
func addLabels(d draft, labels map[string]string) {
	if len(labels) > 0 {
		d.SetLabels(object.Merge(d.GetLabels(), labels))
	}
}
