package router

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

var kumaRoute = schema.GroupVersionKind{Group: "kuma.io", Version: "v1alpha1", Kind: "TrafficRoute"}

const (
	// kumaService is the tag by which Kuma knows a port of a Service.
	kumaService = "kuma.io/service"
	// kumaMesh is the annotation of a Canary that names its mesh, as in Flagger.
	kumaMesh = "kuma.io/mesh"
	// madeFor marks an object of the cluster, which no canary can own.
	madeFor = "sluice.dev/canary"
)

// kuma is the provider of that name: a TrafficRoute with the name of the apex.
// TrafficRoutes belong to the cluster, and the name that Flagger gives them does
// not say which namespace they are for; their destination does. The route of
// another namespace is refused, instead of shared.
type kuma struct {
	single
}

func newKuma(d Deps) Router { return kuma{single{d, kumaShape{}}} }

// Finalize deletes the route that was made for the canary: nothing else will.
// Kuma sends requests to the apex Service then. A route of another origin stays.
func (k kuma) Finalize(ctx context.Context, c *flaggerv1.Canary) error {
	o := k.object(c)
	live, err := k.read(ctx, o)
	if apierrors.IsNotFound(err) || errors.Is(err, ErrNotInstalled) {
		return nil
	}
	if err != nil {
		return err
	}
	if checkKuma(live, c) != nil {
		return nil
	}
	if live.GetAnnotations()[madeFor] != markOf(c) {
		return k.single.Finalize(ctx, c)
	}
	err = k.Client.Delete(ctx, live, client.Preconditions{ResourceVersion: ptr.To(live.GetResourceVersion())})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting TrafficRoute %s: %w", o, err)
	}
	return nil
}

// kumaShape is what is in a TrafficRoute.
type kumaShape struct{ alone }

var kumaBackend = named("destination", kumaService)

func (kumaShape) object(c *flaggerv1.Canary) Object {
	apex, _, _ := c.ServiceNames()
	return Object{kumaRoute, client.ObjectKey{Name: apex}}
}

func (kumaShape) render(d draft, w Weights) error {
	if err := checkKuma(d.Unstructured, d.canary); err != nil {
		return err
	}
	if !d.made() {
		d.SetAnnotations(map[string]string{madeFor: markOf(d.canary)})
		put(d.Object, meshOf(d.canary), "mesh")
	}
	apexMetadata(d)
	apex, primary, canary := kumaTags(d.canary)
	put(d.Object, []entry{kumaSelector("*")}, "spec", "sources")
	put(d.Object, []entry{kumaSelector(apex)}, "spec", "destinations")
	live := listAt(d.Object, "spec", "conf", "split")
	put(d.Object, []entry{
		kumaEntry(keep(live, kumaBackend, primary, canary), primary, w.Primary),
		kumaEntry(keep(live, kumaBackend, canary, primary), canary, w.Canary),
	}, "spec", "conf", "split")
	return nil
}

func (kumaShape) weights(live *unstructured.Unstructured, c *flaggerv1.Canary) (Weights, error) {
	if err := checkKuma(live, c); err != nil {
		return Weights{}, err
	}
	_, primary, canary := kumaTags(c)
	w, ok := weightsIn(listAt(live.Object, "spec", "conf", "split"), kumaBackend, primary, canary)
	if !ok {
		return stable, nil
	}
	return w, nil
}

func (kumaShape) release(live *unstructured.Unstructured, c *flaggerv1.Canary) error {
	apex, primary, canary := kumaTags(c)
	e := keep(listAt(live.Object, "spec", "conf", "split"), kumaBackend, primary, canary)
	put(live.Object, []entry{kumaEntry(e, apex, stable.Primary)}, "spec", "conf", "split")
	return nil
}

// Supports refuses what a TrafficRoute of Flagger's shape cannot say.
func (kumaShape) Supports(c *flaggerv1.Canary) error { return refuse("kuma", c) }

// checkKuma refuses a route that was made for another canary, or that is for
// anything but the canary's apex Service, on whichever port: rewriting it would
// take the route from a namesake in another namespace, whose users would lose
// theirs.
func checkKuma(live *unstructured.Unstructured, c *flaggerv1.Canary) error {
	const remedy = "; the names of TrafficRoutes are those of the whole cluster: choose another"
	apex, _, _ := c.ServiceNames()
	if mark := live.GetAnnotations()[madeFor]; mark != "" && mark != markOf(c) {
		return terminal("spec.service.name: TrafficRoute %s belongs to Canary %s%s", apex, mark, remedy)
	}
	for _, destination := range listAt(live.Object, "spec", "destinations") {
		tag := textAt(destination, "match", kumaService)
		if !strings.HasPrefix(tag, fmt.Sprintf("%s_%s_svc_", apex, c.Namespace)) {
			return terminal("spec.service.name: TrafficRoute %s is for %s%s", apex, tag, remedy)
		}
	}
	return nil
}

func kumaSelector(service string) entry {
	return entry{"match": entry{kumaService: service}}
}

func kumaEntry(e entry, service string, weight int) entry {
	e["weight"], e["destination"] = int64(weight), entry{kumaService: service}
	return e
}

// kumaTags are Kuma's names of the three Services.
func kumaTags(c *flaggerv1.Canary) (apex, primary, canary string) {
	tag := func(service string) string {
		return fmt.Sprintf("%s_%s_svc_%d", service, c.Namespace, c.Spec.Service.Port)
	}
	apex, primary, canary = c.ServiceNames()
	return tag(apex), tag(primary), tag(canary)
}

func meshOf(c *flaggerv1.Canary) string {
	if mesh := c.Annotations[kumaMesh]; mesh != "" {
		return mesh
	}
	return "default"
}

func markOf(c *flaggerv1.Canary) string { return c.Namespace + "/" + c.Name }
