// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/object"
)

// promote implements [adapter].
func (t *twoCopies) promote(ctx context.Context, r *Revision) error {
	names := t.seen.names
	if names.label == "" {
		var err error
		if names, err = nameAfterRevision(t.scope, r); err != nil {
			return err
		}
	}
	configNames, err := t.configs.copyToPrimary(ctx, r)
	if err != nil {
		return err
	}
	written := t.scope.named(t.kind.GroupVersionKind, t.scope.primaryName())
	if _, err := controllerutil.CreateOrPatch(ctx, t.scope.live, written, func() error {
		if t.primary == nil { // nor was it there when it was looked for
			if err := t.scope.checkPlace(written, isNeverCopy); err != nil {
				return err
			}
		}
		t.writePrimary(written, r, names, configNames)
		t.scope.claim(written)
		return nil
	}); err != nil {
		return fmt.Errorf("writing %s: %w", title(written), err)
	}
	return nil
}

// writePrimary writes everything of the primary that belongs to a revision. The
// selector cannot change once it is there.
func (t *twoCopies) writePrimary(written *unstructured.Unstructured, r *Revision, names naming, configNames map[string]string) {
	spec := object.Child(written.Object, "spec")
	asked := t.seen.Target.Replicas
	if _, ok := spec["selector"]; !ok {
		spec["selector"] = runtime.DeepCopyJSON(names.selector)
		t.setReplicas(spec, max(asked, t.scope.entry.primaryPods, 1))
	} else if t.scope.canary.Spec.AutoscalerRef == nil && t.seen.Revision != nil && r.Digest == t.seen.Revision.Digest && asked > 0 {
		t.setReplicas(spec, asked)
	}
	for _, field := range t.kind.rollout {
		delete(spec, field)
	}
	for field, value := range runtime.DeepCopyJSON(r.Rollout) {
		spec[field] = value
	}
	spec["template"] = names.primaryTemplate(r, configNames)
	labels, annotations := map[string]string{names.label: names.primaryValue()}, map[string]string(nil)
	if t.target != nil {
		labels = object.Merge(included(t.target.GetLabels(), t.scope.opts.IncludeLabelPrefix), labels)
		annotations = included(t.target.GetAnnotations(), t.scope.opts.IncludeLabelPrefix)
	}
	written.SetLabels(object.Merge(written.GetLabels(), labels))
	written.SetAnnotations(object.Merge(written.GetAnnotations(), annotations))
}

func (t *twoCopies) setReplicas(spec map[string]any, pods int32) {
	if t.kind.replicas == bySpec {
		spec["replicas"] = int64(pods)
	}
}

// primaryRevision says which revision the primary runs. Our own promotions leave
// the digest in the template. What Flagger promoted is the target's revision if
// promoting that would change nothing; anything else is unknown.
func (t *twoCopies) primaryRevision(ctx context.Context) (string, error) {
	template := object.Map(t.primary.Object, "spec", "template")
	if id := object.Text(template, "metadata", "annotations", idAnnotation); strings.HasPrefix(id, canary.DigestPrefix) {
		return id, nil
	}
	if t.seen.Revision == nil {
		return "", nil
	}
	same, err := t.sameAsPrimary(ctx, t.seen.Revision, template)
	if err != nil || !same {
		return "", err
	}
	return t.seen.Revision.Digest, nil
}

// sameAsPrimary reports whether promoting a revision would change neither the primary's
// template nor its configuration.
func (t *twoCopies) sameAsPrimary(ctx context.Context, r *Revision, template map[string]any) (bool, error) {
	names, is := flaggerNames(r.Configs), withoutID(template)
	if !reflect.DeepEqual(withoutID(t.seen.names.primaryTemplate(r, names)), is) &&
		!reflect.DeepEqual(withoutID(t.seen.names.flaggerTemplate(r, names)), is) {
		return false, nil
	}
	for _, c := range r.Configs {
		live := t.scope.named(c.groupVersionKind(), names[c.key()])
		err := t.scope.live.Get(ctx, client.ObjectKeyFromObject(live), live)
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("reading copy of %s: %w", c.key(), err)
		}
		if copied, err := configOf(live); err != nil || copied.Checksum != c.Checksum {
			return false, err
		}
	}
	return true, nil
}

// withoutID drops what every promotion changes.
func withoutID(template map[string]any) any {
	out := withoutNulls(template).(map[string]any)
	delete(object.Map(out, "metadata", "annotations"), idAnnotation)
	if metadata := object.Map(out, "metadata"); metadata != nil {
		delete(metadata, "creationTimestamp")
		if len(object.Map(metadata, "annotations")) == 0 {
			delete(metadata, "annotations")
		}
	}
	return out
}
