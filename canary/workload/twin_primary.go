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
)

// setPrimary implements [form].
func (t *twin) setPrimary(ctx context.Context, r *Revision) error {
	if t.names.label == "" {
		if err := t.nameAfterRevision(r); err != nil {
			return err
		}
	}
	if err := t.copyConfigs(ctx, r); err != nil {
		return err
	}
	primary := named(t.kind, t.key(t.canary.Spec.TargetRef.Name+primarySuffix))
	if _, err := controllerutil.CreateOrPatch(ctx, t.kit.live, primary, func() error {
		if t.primary == nil { // nor was it there when it was looked for
			if err := t.checkPlace(primary, false); err != nil {
				return err
			}
		}
		t.writePrimary(primary, r)
		return t.claim(primary)
	}); err != nil {
		return fmt.Errorf("writing %s: %w", title(primary), err)
	}
	return nil
}

// writePrimary writes everything of the primary that belongs to a revision. The
// selector cannot change once it is there.
func (t *twin) writePrimary(primary *unstructured.Unstructured, r *Revision) {
	spec := child(primary.Object, "spec")
	if _, ok := spec["selector"]; !ok {
		spec["selector"] = runtime.DeepCopyJSON(t.names.selector)
		t.count(spec, max(t.Target.Replicas, t.kit.memory.about(t.canary.UID).pods, 1))
	} else if t.canary.Spec.AutoscalerRef == nil && t.Revision != nil && r.Digest == t.Revision.Digest && t.Target.Replicas > 0 {
		t.count(spec, t.Target.Replicas)
	}
	for _, field := range t.rollout {
		delete(spec, field)
	}
	for field, value := range runtime.DeepCopyJSON(r.Rollout) {
		spec[field] = value
	}
	spec["template"] = t.names.primaryTemplate(r)
	labels, annotations := map[string]string{t.names.label: t.names.primaryValue()}, map[string]string(nil)
	if t.target != nil {
		labels = merge(included(t.target.GetLabels(), t.kit.opts.IncludeLabelPrefix), labels)
		annotations = included(t.target.GetAnnotations(), t.kit.opts.IncludeLabelPrefix)
	}
	primary.SetLabels(merge(primary.GetLabels(), labels))
	primary.SetAnnotations(merge(primary.GetAnnotations(), annotations))
}

func (t *twin) count(spec map[string]any, pods int32) {
	if t.counted {
		spec["replicas"] = int64(pods)
	}
}

// primaryRevision says which revision the primary runs. Our own promotions leave
// the digest in the template. What Flagger promoted is the target's revision if
// promoting that would change nothing; anything else is unknown.
func (t *twin) primaryRevision(ctx context.Context) (string, error) {
	template := dict(dict(t.primary.Object, "spec"), "template")
	id, _ := dict(dict(template, "metadata"), "annotations")[idAnnotation].(string)
	if strings.HasPrefix(id, canary.DigestPrefix) {
		return id, nil
	}
	if t.Revision == nil {
		return "", nil
	}
	same, err := t.sameAsPrimary(ctx, template)
	if err != nil || !same {
		return "", err
	}
	return t.Revision.Digest, nil
}

func (t *twin) sameAsPrimary(ctx context.Context, template map[string]any) (bool, error) {
	t.names.configs = flaggerNames(t.Revision.Configs)
	is := withoutID(template)
	if !reflect.DeepEqual(withoutID(t.names.primaryTemplate(t.Revision)), is) && !reflect.DeepEqual(withoutID(t.names.flaggerTemplate(t.Revision)), is) {
		return false, nil
	}
	for _, c := range t.Revision.Configs {
		live := configObject(c.Kind, t.canary.Namespace, t.names.configs[c.key()])
		err := t.kit.live.Get(ctx, client.ObjectKeyFromObject(live), live)
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
	delete(dict(dict(out, "metadata"), "annotations"), idAnnotation)
	if metadata := dict(out, "metadata"); metadata != nil {
		delete(metadata, "creationTimestamp")
		if len(dict(metadata, "annotations")) == 0 {
			delete(metadata, "annotations")
		}
	}
	return out
}
