package workload

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
)

// Pair is one look at the two copies of a canary's workload. Its methods act on
// what was seen: what they promote is what the caller judged, even if the target
// has changed since.
type Pair struct {
	// Target and Primary are how the copies stand.
	Target, Primary canary.Workload
	// Revision is the target's; nil if there is no target.
	Revision *Revision
	// Configs are the keys of all configs that the target refers to, as in
	// status.trackedConfigs, whether they exist or not.
	Configs []string
	// Saved are the digests of the revisions that have a snapshot.
	Saved map[string]bool
	// Edited means that the canary's spec was edited since [Pair.EnsureScaler].
	Edited bool

	kit    *Kit
	canary *flaggerv1.Canary
	form   form
	names  naming
	known  *remembered
	// containers are the target's.
	containers []corev1.Container
}

// form is how targets of one kind are released. What a form does not need to do
// for its kind, it does not do without an error.
type form interface {
	// look fills in what there is to see of the pair.
	look(ctx context.Context) error
	// setPrimary makes the primary run a revision for good.
	setPrimary(ctx context.Context, r *Revision) error
	// start and stop run the target's pods, and take them away.
	start(ctx context.Context) error
	stop(ctx context.Context) error
	// revert gives the target back what the canary took from it, and says why it
	// is not ready yet; empty is ready.
	revert(ctx context.Context) (why string, err error)
	// ensureServices and ensureApex make the Services; revertApex makes users
	// reach the target as they did before.
	ensureServices(ctx context.Context) error
	ensureApex(ctx context.Context) error
	revertApex(ctx context.Context) error
	// objects are what the pair consists of, and may not exist yet.
	objects() []Object
}

// archive is a form whose revisions are kept by somebody else, so that there is no
// need for snapshots.
type archive interface {
	// recall returns a revision that was seen.
	recall(digest string) (*Revision, error)
}

// forms has every kind of targets, by kind, and by kind and group if the group
// is not Kubernetes' own.
var forms = map[string]func(*Pair) form{
	"Deployment":  func(p *Pair) form { return &twin{Pair: p, shape: deployments} },
	"DaemonSet":   func(p *Pair) form { return &twin{Pair: p, shape: daemonSets} },
	"Service":     func(p *Pair) form { return &facade{Pair: p} },
	"StatefulSet": func(p *Pair) form { return &stateful{Pair: p} },

	"Service." + knativeGroup: func(p *Pair) form { return &knative{Pair: p} },
}

// formOf chooses the form of a target. As in Flagger, the group counts only where
// two kinds have the same name.
func formOf(target flaggerv1.LocalObjectReference) (func(*Pair) form, error) {
	name := target.Kind
	if gv, err := schema.ParseGroupVersion(target.APIVersion); err == nil && gv.Group == knativeGroup {
		name += "." + gv.Group
	}
	build, ok := forms[name]
	if !ok {
		known := strings.Join(slices.Sorted(maps.Keys(forms)), ", ")
		return nil, reconcile.TerminalError(fmt.Errorf("spec.targetRef: %s of %q is not served, only %s are", target.Kind, target.APIVersion, known))
	}
	return build, nil
}

// knativeGroup is the API group of Knative Services.
const knativeGroup = "serving.knative.dev"

// EnsureServices makes the Services of the primary and of the canary. A worker
// has none.
func (p *Pair) EnsureServices(ctx context.Context) error {
	if !p.canary.HasService() {
		return nil
	}
	return p.form.ensureServices(ctx)
}

// EnsureApex makes the Service that users call select the primary. If it was
// there before, it keeps everything else.
func (p *Pair) EnsureApex(ctx context.Context) error {
	if !p.canary.HasService() {
		return nil
	}
	return p.form.ensureApex(ctx)
}

// RevertApex makes a Service that was there before the canary select the target
// again. One that the canary made goes with it.
func (p *Pair) RevertApex(ctx context.Context) error {
	if p.canary.HasService() {
		if err := p.form.revertApex(ctx); err != nil {
			return err
		}
	}
	return p.restoreServices(ctx)
}

// SetPrimary makes the primary run exactly the given revision: the one that was
// seen, or else its snapshot.
func (p *Pair) SetPrimary(ctx context.Context, digest string) error {
	r, err := p.revision(ctx, digest)
	if err != nil {
		return err
	}
	return p.form.setPrimary(ctx, r)
}

// RestoreServices makes all Services that were there before the canary what they were,
// whatever became of the target.
func (p *Pair) RestoreServices(ctx context.Context) error { return p.restoreServices(ctx) }

// StartTarget gives the target pods, if it has none.
func (p *Pair) StartTarget(ctx context.Context) error { return p.form.start(ctx) }

// StopTarget takes the target's pods away.
func (p *Pair) StopTarget(ctx context.Context) error { return p.form.stop(ctx) }

// RevertTarget gives the target back what the canary took from it, and reports
// why it is not ready yet; empty is ready.
func (p *Pair) RevertTarget(ctx context.Context) (string, error) { return p.form.revert(ctx) }

// title is how errors name an object.
func title(u *unstructured.Unstructured) string {
	return fmt.Sprintf("%s %s.%s", strings.ToLower(u.GetKind()), u.GetName(), u.GetNamespace())
}
