package workload

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// Options are the settings of a controller.
type Options struct {
	// SelectorLabels are the keys of which a target's selector must have one. The
	// first that it has tells the primary's pods from the canary's.
	SelectorLabels []string
	// IncludeLabelPrefix are the prefixes of labels and annotations that copies
	// inherit; `*` stands for all.
	IncludeLabelPrefix []string
	// IgnoreConfigs leaves ConfigMaps and Secrets out of revisions.
	IgnoreConfigs bool
	// Warn is told what keeps nobody from working, but works in another way than the
	// canary's owner may think; nil is nobody.
	Warn func(*flaggerv1.Canary, error)
}

// DefaultSelectorLabels are Flagger's.
var DefaultSelectorLabels = []string{"app", "name", "app.kubernetes.io/name"}

// Kit works on the workloads of canaries.
type Kit struct {
	// live reads from the API server, cached from informers: Services, for which
	// a moment's delay does no harm, and whether anything has changed.
	live   client.Client
	cached client.Reader
	clock  clock.PassiveClock
	opts   Options
	memory memory
}

// New returns a kit. The live client must not return what is older than a write
// through it, as a cache would; the cached reader must read from one, for metadata of
// all kinds: reading Secrets live would cost a call for each at every look.
func New(live client.Client, cached client.Reader, clk clock.PassiveClock, opts Options) *Kit {
	if len(opts.SelectorLabels) == 0 {
		opts.SelectorLabels = DefaultSelectorLabels
	}
	return &Kit{live: live, cached: cached, clock: clk, opts: opts}
}

// Look reads the target, its configuration, the primary and the snapshots. The
// pair is there even if something of it could not be read, for its Configs.
func (k *Kit) Look(ctx context.Context, c *flaggerv1.Canary) (*Pair, error) {
	p := &Pair{kit: k, canary: c}
	build, err := formOf(c.Spec.TargetRef)
	if err != nil {
		return p, err
	}
	p.form = build(p)
	k.memory.begin(c.UID, c.Spec.TargetRef.Identity())
	p.noteEdit()
	return p, p.form.look(ctx)
}

// read returns a live object as JSON; nil means that there is none, or that it is
// on its way out.
func (k *Kit) read(ctx context.Context, kind schema.GroupVersionKind, key client.ObjectKey) (*unstructured.Unstructured, error) {
	live := named(kind, key)
	err := k.live.Get(ctx, key, live)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", title(live), err)
	}
	if live.GetDeletionTimestamp() != nil {
		return nil, nil
	}
	return live, nil
}

// named is an object of which nothing is known but its name.
func named(kind schema.GroupVersionKind, key client.ObjectKey) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(kind)
	u.SetNamespace(key.Namespace)
	u.SetName(key.Name)
	return u
}

// key is that of an object beside the canary.
func (p *Pair) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: p.canary.Namespace, Name: name}
}

// owned is the owner reference of everything that goes with the canary.
func (p *Pair) owned() metav1.OwnerReference {
	return *metav1.NewControllerRef(p.canary, flaggerv1.GroupVersion.WithKind(flaggerv1.CanaryKind))
}

// checkOwner refuses what another canary made: the two would undo each other's work
// for ever. What an earlier canary of this name has left is about to be collected,
// and nothing may be built on it.
func (p *Pair) checkOwner(object client.Object, field string) error {
	owner := metav1.GetControllerOf(object)
	if owner == nil || owner.UID == p.canary.UID || owner.Kind != flaggerv1.CanaryKind {
		return nil
	}
	if owner.Name == p.canary.Name {
		return fmt.Errorf("%s %s.%s belongs to an earlier Canary of this name, and is about to go with it",
			kindOf(object), object.GetName(), object.GetNamespace())
	}
	return reconcile.TerminalError(fmt.Errorf("%s: %s %s.%s belongs to Canary %s: two cannot release the same; delete one of them, or this object if that Canary has another target by now",
		field, kindOf(object), object.GetName(), object.GetNamespace(), owner.Name))
}

// kindOf is how messages name the kind of an object; typed ones forget theirs.
func kindOf(object client.Object) string {
	if kind := object.GetObjectKind().GroupVersionKind().Kind; kind != "" {
		return strings.ToLower(kind)
	}
	return "service"
}

// claim makes the canary the controller of an object that has none.
func (p *Pair) claim(object client.Object) error {
	if metav1.GetControllerOf(object) != nil {
		return nil
	}
	object.SetOwnerReferences(append(object.GetOwnerReferences(), p.owned()))
	return nil
}
