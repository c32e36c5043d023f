package workload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// canaryLabel has the canary's UID: names may be too long for a label.
	canaryLabel = "sluice.dev/canary"
	// targetAnnotation has the identity of the target that a snapshot was taken of.
	targetAnnotation = "sluice.dev/target"
	// revisionAnnotation has the digest of the revision that an object belongs to.
	revisionAnnotation = "sluice.dev/revision"
)

// Save keeps the revision that was seen. The ControllerRevision comes last: it is
// what says that the snapshot is complete.
func (p *Pair) Save(ctx context.Context, digest string) error {
	if _, kept := p.form.(archive); kept || p.Saved[digest] {
		return nil
	}
	if p.Revision == nil || p.Revision.Digest != digest {
		return fmt.Errorf("saving revision %s of %s: it is not the target's", digest, p.canary.Name)
	}
	if err := p.fetch(ctx, p.Revision); err != nil {
		return err
	}
	// What cannot be promoted is not worth measuring.
	if _, err := p.primaryNames(ctx, p.Revision.Configs); err != nil {
		return err
	}
	for i, c := range p.Revision.Configs {
		copied := configObject(c.Kind, p.canary.Namespace, p.configName(digest, i))
		fill(copied, c)
		copied.Object["immutable"] = true
		p.mark(copied, digest)
		if err := p.create(ctx, copied); err != nil {
			return err
		}
	}
	data, err := json.Marshal(p.Revision)
	if err != nil {
		return fmt.Errorf("encoding revision %s: %w", digest, err)
	}
	kept := &appsv1.ControllerRevision{Data: runtime.RawExtension{Raw: data}, Revision: 1}
	kept.Namespace, kept.Name = p.canary.Namespace, p.snapshotName(digest)
	p.mark(kept, digest)
	if err := p.replaceForeign(ctx, kept); err != nil {
		return err
	}
	if err := p.create(ctx, kept); err != nil {
		return err
	}
	p.Saved[digest] = true
	p.remember(p.Saved)
	return nil
}

func (p *Pair) create(ctx context.Context, object client.Object) error {
	if err := p.kit.live.Create(ctx, object); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("keeping snapshot %s.%s: %w", object.GetName(), object.GetNamespace(), err)
	}
	return nil
}

// replaceForeign makes room for a snapshot where one of another target is in its place,
// which had the same template and was perhaps rolled out in another way.
func (p *Pair) replaceForeign(ctx context.Context, kept *appsv1.ControllerRevision) error {
	had := &appsv1.ControllerRevision{}
	err := p.kit.live.Get(ctx, client.ObjectKeyFromObject(kept), had)
	if err != nil || p.took(had) {
		return client.IgnoreNotFound(err)
	}
	if err := p.kit.live.Delete(ctx, had); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting snapshot %s.%s of %s: %w", had.Name, had.Namespace, had.Annotations[targetAnnotation], err)
	}
	return nil
}

// took reports whether a snapshot is one of the canary's target, and not of one that
// it had before. Those of earlier versions do not say.
func (p *Pair) took(snapshot client.Object) bool {
	of := snapshot.GetAnnotations()[targetAnnotation]
	return of == "" || of == p.canary.Spec.TargetRef.Identity()
}

func (p *Pair) mark(object client.Object, digest string) {
	object.SetLabels(map[string]string{canaryLabel: string(p.canary.UID)})
	object.SetAnnotations(map[string]string{revisionAnnotation: digest, targetAnnotation: p.canary.Spec.TargetRef.Identity()})
	object.SetOwnerReferences([]metav1.OwnerReference{p.owned()})
}

// snapshotName differs between canaries of the same name: what an older one left
// behind is about to be collected.
func (p *Pair) snapshotName(digest string) string {
	sum := sha256.Sum256([]byte(string(p.canary.UID) + digest))
	return p.canary.Name + "-" + hex.EncodeToString(sum[:8])
}

func (p *Pair) configName(digest string, i int) string {
	return fmt.Sprintf("%s-config-%d", p.snapshotName(digest), i)
}

// snapshots lists what is kept for the canary. Nobody else makes or deletes any,
// so that once is enough.
func (p *Pair) snapshots(ctx context.Context) (map[string]bool, error) {
	if saved := p.savedBefore(); saved != nil {
		return saved, nil
	}
	kept := &appsv1.ControllerRevisionList{}
	if err := p.kit.live.List(ctx, kept, p.mine()...); err != nil {
		return nil, fmt.Errorf("listing snapshots of %s.%s: %w", p.canary.Name, p.canary.Namespace, err)
	}
	saved := map[string]bool{}
	for _, r := range kept.Items {
		if !p.took(&r) {
			continue
		}
		saved[r.Annotations[revisionAnnotation]] = true
	}
	p.remember(saved)
	return saved, nil
}

func (p *Pair) mine() []client.ListOption {
	return []client.ListOption{client.InNamespace(p.canary.Namespace), client.MatchingLabels{canaryLabel: string(p.canary.UID)}}
}

// revision returns the revision that was seen, or a snapshot. A snapshot that
// does not add up to its digest is an error: it was never measured.
func (p *Pair) revision(ctx context.Context, digest string) (*Revision, error) {
	if a, ok := p.form.(archive); ok {
		return a.recall(digest)
	}
	if p.Revision != nil && p.Revision.Digest == digest {
		return p.Revision, nil
	}
	kept := &appsv1.ControllerRevision{}
	key := client.ObjectKey{Namespace: p.canary.Namespace, Name: p.snapshotName(digest)}
	if err := p.kit.live.Get(ctx, key, kept); err != nil {
		p.remember(nil) // somebody has deleted it after all
		return nil, fmt.Errorf("reading snapshot of revision %s: %w", digest, err)
	}
	if !p.took(kept) {
		return nil, fmt.Errorf("snapshot %s is of %s, not of %s", key, kept.Annotations[targetAnnotation], p.canary.Spec.TargetRef.Identity())
	}
	r, err := decode(kept.Data.Raw)
	if err != nil {
		return nil, fmt.Errorf("decoding snapshot %s: %w", key, err)
	}
	for i := range r.Configs {
		if err := p.loadConfig(ctx, digest, i, &r.Configs[i]); err != nil {
			return nil, err
		}
	}
	actual, err := r.digest()
	if err != nil {
		return nil, err
	}
	if actual != digest {
		return nil, fmt.Errorf("snapshot %s: it was changed: its revision is %s, not %s", key, actual, digest)
	}
	r.Digest = digest
	return r, nil
}

// decode keeps whole numbers whole, as the API machinery does.
func decode(data []byte) (*Revision, error) {
	r, fields := &Revision{}, map[string]any{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, err
	}
	if err := utiljson.Unmarshal(data, &fields); err != nil {
		return nil, err
	}
	r.Template, r.Rollout, r.Selector = dict(fields, "template"), dict(fields, "rollout"), dict(fields, "selector")
	return r, nil
}

func (p *Pair) loadConfig(ctx context.Context, digest string, i int, c *Config) error {
	live := configObject(c.Kind, p.canary.Namespace, p.configName(digest, i))
	if err := p.kit.live.Get(ctx, client.ObjectKeyFromObject(live), live); err != nil {
		return fmt.Errorf("reading snapshot of %s: %w", c.key(), err)
	}
	loaded, err := configOf(live)
	if err != nil {
		return fmt.Errorf("reading snapshot of %s: %w", c.key(), err)
	}
	c.Content, c.Checksum = loaded.Content, loaded.Checksum
	return nil
}

// Prune forgets all snapshots but those of the given revisions. The
// ControllerRevision goes first, so that no half snapshot counts as one.
func (p *Pair) Prune(ctx context.Context, keep []string) error {
	if _, kept := p.form.(archive); kept {
		return nil
	}
	p.remember(nil)
	for _, kind := range []schema.GroupVersionKind{
		appsv1.SchemeGroupVersion.WithKind("ControllerRevisionList"),
		corev1.SchemeGroupVersion.WithKind("ConfigMapList"),
		corev1.SchemeGroupVersion.WithKind("SecretList"),
	} {
		found := &metav1.PartialObjectMetadataList{}
		found.SetGroupVersionKind(kind)
		if err := p.kit.live.List(ctx, found, p.mine()...); err != nil {
			return fmt.Errorf("listing snapshots of %s.%s: %w", p.canary.Name, p.canary.Namespace, err)
		}
		for i := range found.Items {
			object := &found.Items[i]
			object.SetGroupVersionKind(kind.GroupVersion().WithKind(strings.TrimSuffix(kind.Kind, "List")))
			if slices.Contains(keep, object.Annotations[revisionAnnotation]) {
				continue
			}
			if err := p.kit.live.Delete(ctx, object); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("deleting snapshot %s.%s: %w", object.Name, object.Namespace, err)
			}
		}
	}
	return nil
}
