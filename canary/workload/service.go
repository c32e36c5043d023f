package workload

import (
	"context"
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
)

// facade releases a Service: what changes is where it leads, such as the selector
// or the external name. Pods are nobody's business here, so that both copies are
// always ready:
//
//	Service <target>           what Git says
//	Service <apex>-canary      follows it
//	Service <apex>-primary     follows it at promotion only
type facade struct {
	*Pair
	target, primary *unstructured.Unstructured
}

var serviceKind = corev1.SchemeGroupVersion.WithKind("Service")

// allocated are the fields of a Service that the API server fills in, each
// Service having its own.
var allocated = []string{"clusterIP", "clusterIPs", "healthCheckNodePort"}

func (f *facade) look(ctx context.Context) error {
	if err := f.noScaler("a Service has no pods"); err != nil {
		return err
	}
	_, primary, _ := f.canary.ServiceNames()
	var err error
	if f.target, err = f.kit.read(ctx, serviceKind, f.key(f.canary.Spec.TargetRef.Name)); err != nil {
		return err
	}
	if f.primary, err = f.kit.read(ctx, serviceKind, f.key(primary)); err != nil {
		return err
	}
	if f.Saved, err = f.snapshots(ctx); err != nil {
		return err
	}
	there := canary.Workload{Exists: true, Ready: true, Replicas: 1, Available: 1}
	if f.target != nil {
		f.Target, f.Revision = there, &Revision{Template: ownSpec(f.target), Rollout: map[string]any{}}
		if f.Revision.Digest, err = f.Revision.digest(); err != nil {
			return fmt.Errorf("%s: %w", title(f.target), err)
		}
		f.Target.Revision = f.Revision.Digest
		if f.Target.Alias, err = aliasOf(dict(f.target.Object, "spec"), &corev1.ServiceSpec{}); err != nil {
			return fmt.Errorf("%s: %w", title(f.target), err)
		}
	}
	if f.primary != nil {
		if err := f.checkOwner(f.primary, "spec.service.name"); err != nil {
			return err
		}
		if err := f.checkPlace(f.primary, f.copied(f.primary)); err != nil {
			return refusing("spec.service.name", err)
		}
		f.Primary = there
		f.Primary.Revision = f.primaryRevision()
	}
	return nil
}

// ownSpec is the spec without what is allocated. Headless is a choice.
func ownSpec(svc *unstructured.Unstructured) map[string]any {
	spec := withoutNulls(dict(svc.Object, "spec")).(map[string]any)
	headless := spec["clusterIP"] == corev1.ClusterIPNone
	for _, field := range allocated {
		delete(spec, field)
	}
	if headless {
		spec["clusterIP"] = corev1.ClusterIPNone
	}
	for _, port := range list(spec, "ports") {
		delete(port, "nodePort")
	}
	return spec
}

// primaryRevision is what the last promotion noted, or what can be seen of one by
// Flagger.
func (f *facade) primaryRevision() string {
	if digest := f.primary.GetAnnotations()[revisionAnnotation]; digest != "" {
		return digest
	}
	if f.Revision != nil && reflect.DeepEqual(ownSpec(f.primary), f.Revision.Template) {
		return f.Revision.Digest
	}
	return ""
}

// setPrimary implements [form].
func (f *facade) setPrimary(ctx context.Context, r *Revision) error {
	_, primary, _ := f.canary.ServiceNames()
	return f.copy(ctx, primary, r, f.canary.Spec.Service.Primary)
}

// ensureServices implements [form]: the canary's copy is what Git says.
func (f *facade) ensureServices(ctx context.Context) error {
	if f.Revision == nil {
		return nil
	}
	_, _, own := f.canary.ServiceNames()
	return f.copy(ctx, own, f.Revision, f.canary.Spec.Service.Canary)
}

func (f *facade) copy(ctx context.Context, name string, r *Revision, metadata *flaggerv1.CustomMetadata) error {
	copied := named(serviceKind, f.key(name))
	if _, err := controllerutil.CreateOrPatch(ctx, f.kit.live, copied, func() error {
		if err := f.checkOwner(copied, "spec.service.name"); err != nil {
			return err
		}
		if err := f.checkPlace(copied, f.copied(copied)); err != nil {
			return refusing("spec.service.name", err)
		}
		f.writeCopy(copied, r, metadata)
		return f.claim(copied)
	}); err != nil {
		return fmt.Errorf("writing %s: %w", title(copied), err)
	}
	return nil
}

// copied reports whether a Service is a copy of the target.
func (f *facade) copied(svc *unstructured.Unstructured) bool {
	return svc.GetAnnotations()[revisionAnnotation] != "" || f.Revision != nil && reflect.DeepEqual(ownSpec(svc), f.Revision.Template)
}

// writeCopy keeps what was allocated to the copy. A Service that becomes or stops
// being an alias gets or loses its address from the API server.
func (f *facade) writeCopy(copied *unstructured.Unstructured, r *Revision, metadata *flaggerv1.CustomMetadata) {
	had, spec := dict(copied.Object, "spec"), runtime.DeepCopyJSON(r.Template)
	if spec["type"] != string(corev1.ServiceTypeExternalName) {
		for _, field := range allocated {
			if value, ok := had[field]; ok && spec[field] == nil {
				spec[field] = value
			}
		}
	}
	for _, port := range list(spec, "ports") {
		for _, before := range list(had, "ports") {
			if port["name"] == before["name"] && before["nodePort"] != nil && spec["type"] != string(corev1.ServiceTypeClusterIP) {
				port["nodePort"] = before["nodePort"]
			}
		}
	}
	if d := f.canary.Spec.Service.TrafficDistribution; d != "" {
		spec["trafficDistribution"] = d
	}
	copied.Object["spec"] = spec
	labels, annotations := map[string]string(nil), map[string]string{}
	if f.target != nil {
		labels, annotations = inherited(f.target.GetLabels()), inherited(f.target.GetAnnotations())
	}
	if metadata != nil {
		labels, annotations = merge(labels, metadata.Labels), merge(annotations, metadata.Annotations)
	}
	annotations = merge(merge(annotations, handsOff), map[string]string{revisionAnnotation: r.Digest})
	copied.SetLabels(merge(copied.GetLabels(), labels))
	copied.SetAnnotations(merge(copied.GetAnnotations(), annotations))
}

// ensureApex implements [form]. The apex is the target itself, or what the
// provider makes of its name; neither has pods to select.
func (*facade) ensureApex(context.Context) error { return nil }

func (*facade) revertApex(context.Context) error { return nil }

func (*facade) start(context.Context) error { return nil }

func (*facade) stop(context.Context) error { return nil }

// revert implements [form]: nothing was taken from the target.
func (*facade) revert(context.Context) (string, error) { return "", nil }

// objects implements [form].
func (f *facade) objects() []Object {
	return append(f.services(), f.object(serviceKind, f.canary.Spec.TargetRef.Name))
}
