// SPDX-License-Identifier: Apache-2.0

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

	"github.com/sluice-cd/sluice/canary/object"
)

const (
	// canaryLabel has the canary's UID: names may be too long for a label.
	canaryLabel = "sluice.dev/canary"
	// targetAnnotation has the identity of the target that a snapshot was taken of.
	targetAnnotation = "sluice.dev/target"
	// revisionAnnotation has the digest of the revision that an object belongs to.
	revisionAnnotation = "sluice.dev/revision"
)

// snapshots keep revisions of a canary's target, so that they can be promoted, or
// restored, after the target has moved on: a ControllerRevision each, and copies of
// the configs.
type snapshots struct {
	scope   *scope
	configs configs
}

// save keeps a revision. The ControllerRevision comes last: it is what says that the
// snapshot is complete.
func (k snapshots) save(ctx context.Context, r *Revision) error {
	if err := k.configs.fetch(ctx, r); err != nil {
		return err
	}
	// What cannot be promoted is not worth measuring.
	if _, err := k.configs.primaryNames(ctx, r.Configs); err != nil {
		return err
	}
	for i, c := range r.Configs {
		copied := k.scope.named(c.groupVersionKind(), k.configName(r.Digest, i))
		fill(copied, c)
		copied.Object["immutable"] = true
		k.mark(copied, r.Digest)
		if err := k.create(ctx, copied); err != nil {
			return err
		}
	}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding revision %s: %w", r.Digest, err)
	}
	kept := &appsv1.ControllerRevision{Data: runtime.RawExtension{Raw: data}, Revision: 1}
	kept.Namespace, kept.Name = k.scope.canary.Namespace, k.name(r.Digest)
	k.mark(kept, r.Digest)
	if err := k.replaceForeign(ctx, kept); err != nil {
		return err
	}
	return k.create(ctx, kept)
}

func (k snapshots) create(ctx context.Context, object client.Object) error {
	if err := k.scope.live.Create(ctx, object); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("keeping snapshot %s.%s: %w", object.GetName(), object.GetNamespace(), err)
	}
	return nil
}

// replaceForeign makes room for a snapshot where one of another target is in its place,
// which had the same template and was perhaps rolled out in another way.
func (k snapshots) replaceForeign(ctx context.Context, kept *appsv1.ControllerRevision) error {
	had := &appsv1.ControllerRevision{}
	err := k.scope.live.Get(ctx, client.ObjectKeyFromObject(kept), had)
	if err != nil || k.isOfTarget(had) {
		return client.IgnoreNotFound(err)
	}
	if err := k.scope.live.Delete(ctx, had); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting snapshot %s.%s of %s: %w", had.Name, had.Namespace, had.Annotations[targetAnnotation], err)
	}
	return nil
}

// isOfTarget reports whether a snapshot is one of the canary's target, and not of one that
// it had before. Those of earlier versions do not say.
func (k snapshots) isOfTarget(snapshot client.Object) bool {
	of := snapshot.GetAnnotations()[targetAnnotation]
	return of == "" || of == k.scope.canary.Spec.TargetRef.Identity()
}

func (k snapshots) mark(object client.Object, digest string) {
	object.SetLabels(map[string]string{canaryLabel: string(k.scope.canary.UID)})
	object.SetAnnotations(map[string]string{revisionAnnotation: digest, targetAnnotation: k.scope.canary.Spec.TargetRef.Identity()})
	object.SetOwnerReferences([]metav1.OwnerReference{k.scope.ownerRef()})
}

// name differs between canaries of the same name: what an older one left
// behind is about to be collected.
func (k snapshots) name(digest string) string {
	sum := sha256.Sum256([]byte(string(k.scope.canary.UID) + digest))
	return k.scope.canary.Name + "-" + hex.EncodeToString(sum[:8])
}

func (k snapshots) configName(digest string, i int) string {
	return fmt.Sprintf("%s-config-%d", k.name(digest), i)
}

// list lists what is kept for the canary. Nobody else makes or deletes any,
// so that once is enough.
func (k snapshots) list(ctx context.Context) (map[string]bool, error) {
	if saved, ok := k.scope.entry.savedSnapshots(); ok {
		return saved, nil
	}
	kept := &appsv1.ControllerRevisionList{}
	if err := k.scope.live.List(ctx, kept, k.listOptions()...); err != nil {
		return nil, fmt.Errorf("listing snapshots of %s.%s: %w", k.scope.canary.Name, k.scope.canary.Namespace, err)
	}
	saved := map[string]bool{}
	for _, r := range kept.Items {
		if !k.isOfTarget(&r) {
			continue
		}
		saved[r.Annotations[revisionAnnotation]] = true
	}
	k.scope.entry.noteSnapshots(saved)
	return saved, nil
}

func (k snapshots) listOptions() []client.ListOption {
	return []client.ListOption{client.InNamespace(k.scope.canary.Namespace), client.MatchingLabels{canaryLabel: string(k.scope.canary.UID)}}
}

// load returns the revision of a snapshot. One that does not add up to its digest is an
// error: it was never measured.
func (k snapshots) load(ctx context.Context, digest string) (*Revision, error) {
	kept := &appsv1.ControllerRevision{}
	key := client.ObjectKey{Namespace: k.scope.canary.Namespace, Name: k.name(digest)}
	if err := k.scope.live.Get(ctx, key, kept); err != nil {
		k.scope.entry.forgetSnapshots() // somebody has deleted it after all
		return nil, fmt.Errorf("reading snapshot of revision %s: %w", digest, err)
	}
	if !k.isOfTarget(kept) {
		return nil, fmt.Errorf("snapshot %s is of %s, not of %s",
			key, kept.Annotations[targetAnnotation], k.scope.canary.Spec.TargetRef.Identity())
	}
	r, err := decode(kept.Data.Raw)
	if err != nil {
		return nil, fmt.Errorf("decoding snapshot %s: %w", key, err)
	}
	for i := range r.Configs {
		if err := k.loadConfig(ctx, digest, i, &r.Configs[i]); err != nil {
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
	r.Template, r.Rollout, r.Selector = object.Map(fields, "template"), object.Map(fields, "rollout"), object.Map(fields, "selector")
	return r, nil
}

func (k snapshots) loadConfig(ctx context.Context, digest string, i int, c *Config) error {
	live := k.scope.named(c.groupVersionKind(), k.configName(digest, i))
	if err := k.scope.live.Get(ctx, client.ObjectKeyFromObject(live), live); err != nil {
		return fmt.Errorf("reading snapshot of %s: %w", c.key(), err)
	}
	loaded, err := configOf(live)
	if err != nil {
		return fmt.Errorf("reading snapshot of %s: %w", c.key(), err)
	}
	c.Content, c.Checksum = loaded.Content, loaded.Checksum
	return nil
}

// prune forgets all snapshots but those of the given revisions. The
// ControllerRevision goes first, so that no half snapshot counts as one.
func (k snapshots) prune(ctx context.Context, keep []string) error {
	k.scope.entry.forgetSnapshots()
	for _, kind := range []schema.GroupVersionKind{
		appsv1.SchemeGroupVersion.WithKind("ControllerRevisionList"),
		corev1.SchemeGroupVersion.WithKind("ConfigMapList"),
		corev1.SchemeGroupVersion.WithKind("SecretList"),
	} {
		found := &metav1.PartialObjectMetadataList{}
		found.SetGroupVersionKind(kind)
		if err := k.scope.live.List(ctx, found, k.listOptions()...); err != nil {
			return fmt.Errorf("listing snapshots of %s.%s: %w", k.scope.canary.Name, k.scope.canary.Namespace, err)
		}
		for i := range found.Items {
			object := &found.Items[i]
			object.SetGroupVersionKind(kind.GroupVersion().WithKind(strings.TrimSuffix(kind.Kind, "List")))
			if slices.Contains(keep, object.Annotations[revisionAnnotation]) {
				continue
			}
			if err := k.scope.live.Delete(ctx, object); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("deleting snapshot %s.%s: %w", object.Name, object.Namespace, err)
			}
		}
	}
	return nil
}
