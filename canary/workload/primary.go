package workload

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sluice-cd/sluice/canary"
)

// SetPrimary makes the primary run exactly the given revision: the one that was
// seen, or else its snapshot.
func (p *Pair) SetPrimary(ctx context.Context, digest string) error {
	r, err := p.revision(ctx, digest)
	if err != nil {
		return err
	}
	if err := p.copyConfigs(ctx, r); err != nil {
		return err
	}
	primary := &unstructured.Unstructured{}
	primary.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	primary.SetNamespace(p.canary.Namespace)
	primary.SetName(p.canary.Spec.TargetRef.Name + primarySuffix)
	if _, err := controllerutil.CreateOrPatch(ctx, p.kit.live, primary, func() error {
		p.writePrimary(primary, r)
		return p.claim(primary)
	}); err != nil {
		return fmt.Errorf("writing deployment %s.%s: %w", primary.GetName(), p.canary.Namespace, err)
	}
	return nil
}

// writePrimary writes everything of the primary that belongs to a revision. The
// selector cannot change once it is there.
func (p *Pair) writePrimary(primary *unstructured.Unstructured, r *Revision) {
	spec := child(primary.Object, "spec")
	if _, ok := spec["selector"]; !ok {
		spec["selector"] = map[string]any{"matchLabels": map[string]any{p.names.label: p.names.primaryValue()}}
		spec["replicas"] = int64(1)
	}
	if p.Revision != nil && r.Digest == p.Revision.Digest && p.Target.Replicas > 0 {
		spec["replicas"] = int64(p.Target.Replicas)
	}
	for _, field := range rolloutFields {
		delete(spec, field)
	}
	for field, value := range runtime.DeepCopyJSON(r.Rollout) {
		spec[field] = value
	}
	spec["template"] = p.names.primaryTemplate(r)
	labels, annotations := map[string]string{p.names.label: p.names.primaryValue()}, map[string]string(nil)
	if p.target != nil {
		labels = merge(included(p.target.Labels, p.kit.opts.IncludeLabelPrefix), labels)
		annotations = included(p.target.Annotations, p.kit.opts.IncludeLabelPrefix)
	}
	primary.SetLabels(merge(primary.GetLabels(), labels))
	primary.SetAnnotations(merge(primary.GetAnnotations(), annotations))
}

// primaryRevision says which revision the primary runs. Our own promotions leave
// the digest in the template. What Flagger promoted is the target's revision if
// promoting that would change nothing; anything else is unknown.
func (p *Pair) primaryRevision(ctx context.Context) (string, error) {
	template := dict(p.primary.spec(), "template")
	id, _ := dict(dict(template, "metadata"), "annotations")[idAnnotation].(string)
	if strings.HasPrefix(id, canary.DigestPrefix) {
		return id, nil
	}
	if p.Revision == nil {
		return "", nil
	}
	same, err := p.sameAsPrimary(ctx, template)
	if err != nil || !same {
		return "", err
	}
	return p.Revision.Digest, nil
}

func (p *Pair) sameAsPrimary(ctx context.Context, template map[string]any) (bool, error) {
	wanted := withoutID(p.names.primaryTemplate(p.Revision))
	if !reflect.DeepEqual(wanted, withoutID(template)) {
		return false, nil
	}
	for _, c := range p.Revision.Configs {
		live := configObject(c.Kind, p.canary.Namespace, p.names.configs[c.key()])
		err := p.kit.live.Get(ctx, client.ObjectKeyFromObject(live), live)
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

// StartTarget gives the target as many pods as the primary has, if it has none.
func (p *Pair) StartTarget(ctx context.Context) error {
	if p.target == nil || p.Target.Replicas > 0 {
		return nil
	}
	return p.scale(ctx, max(p.Primary.Replicas, 1))
}

// StopTarget scales the target to zero.
func (p *Pair) StopTarget(ctx context.Context) error {
	if p.target == nil || p.Target.Replicas == 0 {
		return nil
	}
	return p.scale(ctx, 0)
}

func (p *Pair) scale(ctx context.Context, replicas int32) error {
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	if err := p.kit.live.Patch(ctx, p.target.raw.DeepCopy(), client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return fmt.Errorf("scaling %s.%s to %d: %w", p.target.Name, p.target.Namespace, replicas, err)
	}
	return nil
}
