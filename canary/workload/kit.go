package workload

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

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
	// configBytes bounds what is held of configs at once.
	configBytes int
}

// New returns a kit. The live client must not return what is older than a write
// through it, as a cache would; the cached reader must read from one, for metadata of
// all kinds: reading Secrets live would cost a call for each at every look.
func New(live client.Client, cached client.Reader, clk clock.PassiveClock, opts Options) *Kit {
	if len(opts.SelectorLabels) == 0 {
		opts.SelectorLabels = DefaultSelectorLabels
	}
	return &Kit{live: live, cached: cached, clock: clk, opts: opts, configBytes: maxConfigBytes}
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
