package workload

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
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
}

// DefaultSelectorLabels are Flagger's.
var DefaultSelectorLabels = []string{"app", "name", "app.kubernetes.io/name"}

// Kit works on the workloads of canaries.
type Kit struct {
	// live reads from the API server, cached from informers. Services are the
	// only thing for which a moment's delay does no harm.
	live, cached client.Client
	clock        clock.PassiveClock
	opts         Options
}

// New returns a kit. The live client must not read from a cache.
func New(live, cached client.Client, clk clock.PassiveClock, opts Options) *Kit {
	if len(opts.SelectorLabels) == 0 {
		opts.SelectorLabels = DefaultSelectorLabels
	}
	return &Kit{live: live, cached: cached, clock: clk, opts: opts}
}

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

	kit             *Kit
	canary          *flaggerv1.Canary
	target, primary *deployment
	names           naming
}

// deployment is a Deployment both ways: as JSON for what is copied, and as a
// struct for what is understood.
type deployment struct {
	raw *unstructured.Unstructured
	*appsv1.Deployment
}

func (d *deployment) spec() map[string]any { return dict(d.raw.Object, "spec") }

// Look reads the target, its configuration, the primary and the snapshots. The
// pair is there even if something of it could not be read, for its Configs.
func (k *Kit) Look(ctx context.Context, c *flaggerv1.Canary) (*Pair, error) {
	p := &Pair{kit: k, canary: c}
	var err error
	if p.target, err = k.deployment(ctx, c, c.Spec.TargetRef.Name); err != nil {
		return p, err
	}
	if p.primary, err = k.deployment(ctx, c, c.Spec.TargetRef.Name+primarySuffix); err != nil {
		return p, err
	}
	if p.Saved, err = p.snapshots(ctx); err != nil {
		return p, err
	}
	if err := p.lookAtTarget(ctx); err != nil {
		return p, err
	}
	return p, p.lookAtPrimary(ctx)
}

func (p *Pair) lookAtTarget(ctx context.Context) error {
	if p.target == nil {
		return nil
	}
	p.names = naming{target: p.target.Name, labels: p.kit.opts.SelectorLabels}
	var err error
	if p.names.label, p.names.value, err = p.kit.selector(p.target.Deployment); err != nil {
		return err
	}
	configs, err := p.readConfigs(ctx)
	if err != nil {
		return err
	}
	if p.Revision, err = newRevision(p.target.spec(), configs); err != nil {
		return fmt.Errorf("deployment %s.%s: %w", p.target.Name, p.target.Namespace, err)
	}
	p.Target = describe(p.target.Deployment, p.kit.patience(p.canary, p.canary.Spec.Analysis.GetCanaryReadyThreshold()))
	p.Target.Revision = p.Revision.Digest
	return nil
}

func (p *Pair) lookAtPrimary(ctx context.Context) error {
	if p.primary == nil {
		return nil
	}
	if p.target == nil {
		p.names = namingOf(p.primary.Deployment, p.canary.Spec.TargetRef.Name, p.kit.opts.SelectorLabels)
	}
	p.Primary = describe(p.primary.Deployment, p.kit.patience(p.canary, p.canary.Spec.Analysis.GetPrimaryReadyThreshold()))
	revision, err := p.primaryRevision(ctx)
	p.Primary.Revision = revision
	return err
}

func (k *Kit) patience(c *flaggerv1.Canary, threshold int) patience {
	return patience{threshold: threshold, deadline: c.ProgressDeadline(), now: k.clock.Now()}
}

// deployment reads a Deployment; nil means that there is none.
func (k *Kit) deployment(ctx context.Context, c *flaggerv1.Canary, name string) (*deployment, error) {
	d := &deployment{raw: &unstructured.Unstructured{}, Deployment: &appsv1.Deployment{}}
	d.raw.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	err := k.live.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, d.raw)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading deployment %s.%s: %w", name, c.Namespace, err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(d.raw.Object, d.Deployment); err != nil {
		return nil, fmt.Errorf("reading deployment %s.%s: %w", name, c.Namespace, err)
	}
	if !d.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	return d, nil
}

// selector returns the label that tells the two copies apart.
func (k *Kit) selector(d *appsv1.Deployment) (label, value string, err error) {
	for _, label := range k.opts.SelectorLabels {
		if value, ok := d.Spec.Selector.MatchLabels[label]; ok {
			return label, value, nil
		}
	}
	return "", "", reconcile.TerminalError(fmt.Errorf("deployment %s.%s spec.selector.matchLabels must contain one of %v",
		d.Name, d.Namespace, k.opts.SelectorLabels))
}

// namingOf reads the naming off the primary when the target is gone.
func namingOf(primary *appsv1.Deployment, target string, labels []string) naming {
	n := naming{target: target, labels: labels}
	for label, value := range primary.Spec.Selector.MatchLabels {
		if slices.Contains(labels, label) && len(value) > len(primarySuffix) {
			n.label, n.value = label, value[:len(value)-len(primarySuffix)]
		}
	}
	return n
}

// owned is the owner reference of everything that goes with the canary.
func (p *Pair) owned() metav1.OwnerReference {
	return *metav1.NewControllerRef(p.canary, flaggerv1.GroupVersion.WithKind(flaggerv1.CanaryKind))
}
