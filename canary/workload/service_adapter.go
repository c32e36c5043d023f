// SPDX-License-Identifier: Apache-2.0

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
	"github.com/sluice-cd/sluice/canary/object"
)

// serviceAdapter releases a Service: what changes is where it leads, such as the selector
// or the external name. Pods are not looked at, so both copies are always
// ready:
//
//	Service <target>           what Git says
//	Service <apex>-canary      follows it
//	Service <apex>-primary     follows it at promotion only
type serviceAdapter struct {
	scope     *scope
	snapshots snapshots

	seen            Copies
	target, primary *unstructured.Unstructured
}

var serviceKind = corev1.SchemeGroupVersion.WithKind("Service")

// allocated are the fields of a Service that the API server fills in, each
// Service having its own.
var allocated = []string{"clusterIP", "clusterIPs", "healthCheckNodePort"}

// observe implements [adapter].
func (f *serviceAdapter) observe(ctx context.Context) (Copies, error) {
	err := f.read(ctx)
	for _, step := range []func() error{f.observeTarget, f.observePrimary} {
		if err == nil {
			err = step()
		}
	}
	return f.seen, err
}

func (f *serviceAdapter) read(ctx context.Context) error {
	if err := refuseAutoscaler(f.scope, "a Service has no pods"); err != nil {
		return err
	}
	_, primary, _ := f.scope.canary.ServiceNames()
	var err error
	if f.target, err = f.scope.read(ctx, serviceKind, f.scope.targetName()); err != nil {
		return err
	}
	if f.target != nil {
		if err := f.scope.checkTarget(f.target); err != nil {
			return err
		}
	}
	if f.primary, err = f.scope.read(ctx, serviceKind, primary); err != nil {
		return err
	}
	f.seen.Saved, err = f.snapshots.list(ctx)
	return err
}

// serving is a copy without pods that could be missing.
var serving = canary.Workload{Exists: true, Ready: true, Replicas: 1, Available: 1}

func (f *serviceAdapter) observeTarget() (err error) {
	if f.target == nil {
		return nil
	}
	r, w := &Revision{Template: ownSpec(f.target), Rollout: map[string]any{}}, serving
	if r.Digest, err = r.digest(); err != nil {
		return fmt.Errorf("%s: %w", title(f.target), err)
	}
	w.Revision = r.Digest
	if w.Alias, err = aliasOf(object.Map(f.target.Object, "spec"), &corev1.ServiceSpec{}); err != nil {
		return fmt.Errorf("%s: %w", title(f.target), err)
	}
	f.seen.Target, f.seen.Revision = w, r
	return nil
}

func (f *serviceAdapter) observePrimary() error {
	if f.primary == nil {
		return nil
	}
	if err := f.checkPlace(f.primary); err != nil {
		return err
	}
	f.seen.Primary = serving
	f.seen.Primary.Revision = f.primaryRevision()
	return nil
}

// checkPlace refuses to overwrite a Service that is no copy of the target.
func (f *serviceAdapter) checkPlace(svc *unstructured.Unstructured) error {
	if err := f.scope.checkOwner(svc, "spec.service.name"); err != nil {
		return err
	}
	isCopy := func() bool { return svc.GetAnnotations()[revisionAnnotation] != "" || f.sameAsTarget(svc) }
	if err := f.scope.checkPlace(svc, isCopy); err != nil {
		return refusing("spec.service.name", err)
	}
	return nil
}

func (f *serviceAdapter) sameAsTarget(svc *unstructured.Unstructured) bool {
	return f.seen.Revision != nil && reflect.DeepEqual(ownSpec(svc), f.seen.Revision.Template)
}

// ownSpec is the spec without what is allocated. Headless is a choice.
func ownSpec(svc *unstructured.Unstructured) map[string]any {
	spec := withoutNulls(object.Map(svc.Object, "spec")).(map[string]any)
	headless := spec["clusterIP"] == corev1.ClusterIPNone
	for _, field := range allocated {
		delete(spec, field)
	}
	if headless {
		spec["clusterIP"] = corev1.ClusterIPNone
	}
	for _, port := range object.List(spec, "ports") {
		delete(port, "nodePort")
	}
	return spec
}

// primaryRevision is what the last promotion noted, or what can be seen of one by
// Flagger.
func (f *serviceAdapter) primaryRevision() string {
	if digest := f.primary.GetAnnotations()[revisionAnnotation]; digest != "" {
		return digest
	}
	if f.sameAsTarget(f.primary) {
		return f.seen.Revision.Digest
	}
	return ""
}

// promote implements [adapter].
func (f *serviceAdapter) promote(ctx context.Context, r *Revision) error {
	_, primary, _ := f.scope.canary.ServiceNames()
	return f.copyTo(ctx, primary, r, f.scope.canary.Spec.Service.Primary)
}

// ensureServices implements [servicesEnsurer]: the canary's copy is what Git says. The
// apex is the target itself, or what the provider makes of its name.
func (f *serviceAdapter) ensureServices(ctx context.Context) error {
	if f.seen.Revision == nil {
		return nil
	}
	_, _, own := f.scope.canary.ServiceNames()
	return f.copyTo(ctx, own, f.seen.Revision, f.scope.canary.Spec.Service.Canary)
}

func (f *serviceAdapter) copyTo(ctx context.Context, name string, r *Revision, metadata *flaggerv1.CustomMetadata) error {
	copied := f.scope.named(serviceKind, name)
	if _, err := controllerutil.CreateOrPatch(ctx, f.scope.live, copied, func() error {
		if err := f.checkPlace(copied); err != nil {
			return err
		}
		f.writeCopy(copied, r, metadata)
		f.scope.claim(copied)
		return nil
	}); err != nil {
		return fmt.Errorf("writing %s: %w", title(copied), err)
	}
	return nil
}

// writeCopy keeps what was allocated to the copy. A Service that becomes or stops
// being an alias gets or loses its address from the API server.
func (f *serviceAdapter) writeCopy(copied *unstructured.Unstructured, r *Revision, metadata *flaggerv1.CustomMetadata) {
	had, spec := object.Map(copied.Object, "spec"), runtime.DeepCopyJSON(r.Template)
	if spec["type"] != string(corev1.ServiceTypeExternalName) {
		for _, field := range allocated {
			if value, ok := had[field]; ok && spec[field] == nil {
				spec[field] = value
			}
		}
	}
	for _, port := range object.List(spec, "ports") {
		for _, before := range object.List(had, "ports") {
			if port["name"] == before["name"] && before["nodePort"] != nil && spec["type"] != string(corev1.ServiceTypeClusterIP) {
				port["nodePort"] = before["nodePort"]
			}
		}
	}
	if d := f.scope.canary.Spec.Service.TrafficDistribution; d != "" {
		spec["trafficDistribution"] = d
	}
	copied.Object["spec"] = spec
	labels, annotations := map[string]string(nil), map[string]string{}
	if f.target != nil {
		labels, annotations = inherited(f.target.GetLabels()), inherited(f.target.GetAnnotations())
	}
	if metadata != nil {
		labels, annotations = object.Merge(labels, metadata.Labels), object.Merge(annotations, metadata.Annotations)
	}
	annotations = object.Merge(object.Merge(annotations, object.FluxDisabled()), map[string]string{revisionAnnotation: r.Digest})
	copied.SetLabels(object.Merge(copied.GetLabels(), labels))
	copied.SetAnnotations(object.Merge(copied.GetAnnotations(), annotations))
}

// objects implements [adapter].
func (f *serviceAdapter) objects() []object.Ref {
	return append(f.scope.services(), f.scope.object(serviceKind, f.scope.targetName()))
}
