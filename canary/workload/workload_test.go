// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/test/make"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// fixture is a cluster with one canary.
type fixture struct {
	t       *testing.T
	c       client.Client
	manager *Manager
	canary  *flaggerv1.Canary
}

func newFixture(t *testing.T, objects ...client.Object) *fixture {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, flaggerv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range objects {
		o.SetNamespace("test")
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithIndex(&corev1.Event{}, "involvedObject.uid", func(o client.Object) []string {
			return []string{string(o.(*corev1.Event).InvolvedObject.UID)}
		}).WithInterceptorFuncs(interceptor.Funcs{List: listMetadata}).Build()
	canary := make.Canary("test", "podinfo", func(c *flaggerv1.Canary) { c.UID = "uid-1" })
	return &fixture{t: t, c: c, canary: canary, manager: New(c, c, clocktesting.NewFakePassiveClock(noon), Options{})}
}

// listMetadata lists the metadata of objects of which the scheme knows nothing, as the API
// server does and the fake does not.
func listMetadata(ctx context.Context, c client.WithWatch, into client.ObjectList, opts ...client.ListOption) error {
	found, ok := into.(*metav1.PartialObjectMetadataList)
	if !ok || c.Scheme().Recognizes(found.GroupVersionKind()) {
		return c.List(ctx, into, opts...)
	}
	whole := &unstructured.UnstructuredList{}
	whole.SetGroupVersionKind(found.GroupVersionKind())
	if err := c.List(ctx, whole, opts...); err != nil {
		return err
	}
	for _, object := range whole.Items {
		item := metav1.PartialObjectMetadata{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &item); err != nil {
			return err
		}
		found.Items = append(found.Items, item)
	}
	return nil
}

// newObject makes one of which nothing is known but its name.
func newObject(kind schema.GroupVersionKind, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(kind)
	u.SetName(name)
	return u
}

func (b *fixture) observe() *Workloads {
	b.t.Helper()
	p, err := b.manager.Observe(context.Background(), b.canary)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func (b *fixture) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// primary makes a primary of the target whose pods are there.
func (b *fixture) primary() {
	b.t.Helper()
	p := b.observe()
	b.must(p.SetPrimary(b.t.Context(), p.Revision.Digest))
	b.stand()
}

func (b *fixture) get(name string, object client.Object) {
	b.t.Helper()
	b.must(b.c.Get(context.Background(), client.ObjectKey{Namespace: "test", Name: name}, object))
}

// podinfo is a target that reads configuration in every way there is.
func podinfo(image string) *appsv1.Deployment {
	labels := map[string]string{"app": "podinfo", "kustomize.toolkit.fluxcd.io/name": "apps"}
	named := func(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "podinfo"},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(int32(3)), MinReadySeconds: 5,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "podinfo"}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{MaxSkew: 1,
					LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "podinfo"}}}},
				Volumes: []corev1.Volume{
					{Name: "a", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: named("files")}}},
					{Name: "b", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "cert"}}},
					{Name: "c", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
						{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: named("extra"), Optional: ptr.To(true)}},
						{Secret: &corev1.SecretProjection{LocalObjectReference: named("token")}}}}}},
				},
				InitContainers: []corev1.Container{{
					Name:    "init",
					EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: named("db")}}},
				}},
				Containers: []corev1.Container{{Name: "podinfo", Image: image,
					Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80}, {Name: "metrics", ContainerPort: 9797}},
					Env: []corev1.EnvVar{{Name: "COLOR", ValueFrom: &corev1.EnvVarSource{
						ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: named("env"), Key: "color"}}}}}},
			}},
		},
	}
}

func configMap(name, value string) *corev1.ConfigMap {
	return make.ConfigMap("", name, map[string]string{"color": value})
}

func secret(name string, kind corev1.SecretType) *corev1.Secret {
	return make.Secret("", name, map[string]string{"key": name}, func(s *corev1.Secret) { s.Type = kind })
}

func targetAndConfigs(image string) []client.Object {
	return []client.Object{podinfo(image), configMap("files", "a"), configMap("env", "blue"),
		secret("cert", corev1.SecretTypeTLS), secret("token", corev1.SecretTypeOpaque), secret("db", "helm.sh/release.v1")}
}

func TestPrimaryIsTheTargetUnderAnotherName(t *testing.T) {
	b := newFixture(t, targetAndConfigs("podinfo:1")...)
	p := b.observe()
	b.must(p.SetPrimary(context.Background(), p.Revision.Digest))
	primary := &appsv1.Deployment{}
	b.get("podinfo-primary", primary)
	spec := primary.Spec.Template.Spec
	got := []string{spec.Volumes[0].ConfigMap.Name, spec.Volumes[1].Secret.SecretName,
		spec.Volumes[2].Projected.Sources[0].ConfigMap.Name, spec.Volumes[2].Projected.Sources[1].Secret.Name,
		spec.InitContainers[0].EnvFrom[0].SecretRef.Name, spec.Containers[0].Env[0].ValueFrom.ConfigMapKeyRef.Name}
	if diff := cmp.Diff([]string{"files-primary", "cert-primary", "extra", "token-primary", "db", "env-primary"}, got); diff != "" {
		t.Error(diff)
	}
	wantLabels := map[string]string{"app": "podinfo-primary"}
	for what, labels := range map[string]map[string]string{
		"selector": primary.Spec.Selector.MatchLabels, "pods": primary.Spec.Template.Labels, "deployment": primary.Labels,
		"spread": spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels,
	} {
		if diff := cmp.Diff(wantLabels, labels); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	if *primary.Spec.Replicas != 3 || primary.Spec.MinReadySeconds != 5 || !metav1.IsControlledBy(primary, b.canary) {
		t.Errorf("primary %+v", primary.Spec)
	}
	if got := b.observe().Primary.Revision; got != p.Revision.Digest {
		t.Errorf("primary runs %s", got)
	}
}

func TestPromotionIsRepeatable(t *testing.T) {
	b := newFixture(t, targetAndConfigs("podinfo:1")...)
	p := b.observe()
	b.must(p.SetPrimary(context.Background(), p.Revision.Digest))
	first, second := &appsv1.Deployment{}, &appsv1.Deployment{}
	b.get("podinfo-primary", first)
	b.must(b.observe().SetPrimary(context.Background(), p.Revision.Digest))
	b.get("podinfo-primary", second)
	if first.ResourceVersion != second.ResourceVersion {
		t.Error("promoting again changed the primary")
	}
}

func TestRevisionsChangeWithWhatPodsAreMadeOf(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*fixture)
		want   bool
	}{
		"an image": {func(b *fixture) {
			d := &appsv1.Deployment{}
			b.get("podinfo", d)
			d.Spec.Template.Spec.Containers[0].Image = "podinfo:2"
			b.must(b.c.Update(context.Background(), d))
		}, true},
		"the number of pods": {func(b *fixture) {
			d := &appsv1.Deployment{}
			b.get("podinfo", d)
			d.Spec.Replicas = ptr.To(int32(0))
			b.must(b.c.Update(context.Background(), d))
		}, false},
		"the binary data of a ConfigMap": {func(b *fixture) {
			cm := &corev1.ConfigMap{}
			b.get("files", cm)
			cm.BinaryData = map[string][]byte{"blob": {0xff}}
			b.must(b.c.Update(context.Background(), cm))
		}, true},
		"a ConfigMap that opted out": {func(b *fixture) {
			cm := &corev1.ConfigMap{}
			b.get("quiet", cm)
			cm.Data["color"] = "red"
			b.must(b.c.Update(context.Background(), cm))
		}, false},
		"a Secret of the platform": {func(b *fixture) {
			s := &corev1.Secret{}
			b.get("db", s)
			s.Data["key"] = []byte("new")
			b.must(b.c.Update(context.Background(), s))
		}, false},
		"an optional ConfigMap that appears": {func(b *fixture) {
			cm := configMap("extra", "x")
			cm.Namespace = "test"
			b.must(b.c.Create(context.Background(), cm))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			objects := targetAndConfigs("podinfo:1")
			quiet := configMap("quiet", "grey")
			quiet.Annotations = map[string]string{"flagger.app/config-tracking": "disabled"}
			d := objects[0].(*appsv1.Deployment)
			d.Spec.Template.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: "quiet"}}}}
			b := newFixture(t, append(objects, quiet)...)
			before := b.observe().Revision.Digest
			tc.change(b)
			if got := b.observe().Revision.Digest != before; got != tc.want {
				t.Errorf("changed: %v", got)
			}
		})
	}
}

func TestASnapshotOutlivesTheTarget(t *testing.T) {
	b := newFixture(t, targetAndConfigs("podinfo:1")...)
	old := b.observe()
	b.must(old.Save(context.Background(), old.Revision.Digest))
	target, cm := &appsv1.Deployment{}, &corev1.ConfigMap{}
	b.get("podinfo", target)
	b.get("env", cm)
	target.Spec.Template.Spec.Containers[0].Image, cm.Data["color"] = "podinfo:2", "red"
	b.must(b.c.Update(context.Background(), target))
	b.must(b.c.Update(context.Background(), cm))
	p := b.observe()
	b.must(p.Save(context.Background(), p.Revision.Digest))
	b.must(p.SetPrimary(context.Background(), old.Revision.Digest))
	primary := &appsv1.Deployment{}
	b.get("podinfo-primary", primary)
	b.get("env-primary", cm)
	if primary.Spec.Template.Spec.Containers[0].Image != "podinfo:1" || cm.Data["color"] != "blue" {
		t.Errorf("primary runs %s with %v", primary.Spec.Template.Spec.Containers[0].Image, cm.Data)
	}
	b.must(p.Prune(context.Background(), []string{p.Revision.Digest}))
	if diff := cmp.Diff(map[string]bool{p.Revision.Digest: true}, b.observe().Saved); diff != "" {
		t.Error(diff)
	}
	if err := p.SetPrimary(context.Background(), old.Revision.Digest); err == nil {
		t.Error("promoted a revision that was forgotten")
	}
}

func TestASnapshotThatWasChangedIsNotPromoted(t *testing.T) {
	b := newFixture(t, targetAndConfigs("podinfo:1")...)
	p := b.observe()
	digest := p.Revision.Digest
	b.must(p.Save(context.Background(), digest))
	kept := &appsv1.ControllerRevision{}
	b.get(p.snapshots.name(digest), kept)
	r, err := decode(kept.Data.Raw)
	b.must(err)
	object.List(r.Template, "spec", "containers")[0]["image"] = "miner:1"
	kept.Data.Raw, err = json.Marshal(r)
	b.must(err)
	b.must(b.c.Update(context.Background(), kept))
	target := &appsv1.Deployment{}
	b.get("podinfo", target)
	target.Spec.Template.Spec.Containers[0].Image = "podinfo:2"
	b.must(b.c.Update(context.Background(), target))
	if err := b.observe().SetPrimary(context.Background(), digest); err == nil {
		t.Error("no error")
	}
}

func TestASharedConfigIsPromotedByEachCanaryForItself(t *testing.T) {
	taken := configMap("env-primary", "theirs")
	taken.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "flagger.app/v1beta1",
		Kind:       "Canary",
		Name:       "other",
		UID:        "uid-2",
		Controller: ptr.To(true),
	}}
	b := newFixture(t, append(targetAndConfigs("podinfo:1"), taken)...)
	p := b.observe()
	b.must(p.SetPrimary(context.Background(), p.Revision.Digest))
	theirs, our := &corev1.ConfigMap{}, &corev1.ConfigMap{}
	b.get("env-primary", theirs)
	b.get("env-podinfo-primary", our)
	primary := &appsv1.Deployment{}
	b.get("podinfo-primary", primary)
	name := primary.Spec.Template.Spec.Containers[0].Env[0].ValueFrom.ConfigMapKeyRef.Name
	if theirs.Data["color"] != "theirs" || our.Data["color"] != "blue" || name != "env-podinfo-primary" {
		t.Errorf("theirs %v, ours %v, primary reads %s", theirs.Data, our.Data, name)
	}
}

func TestServices(t *testing.T) {
	mine := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "podinfo", Labels: map[string]string{"team": "a"}}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeNodePort, Selector: map[string]string{"app": "podinfo"},
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, NodePort: 30080}}}}
	b := newFixture(t, append(targetAndConfigs("podinfo:1"), mine)...)
	b.canary.Spec.Service.PortDiscovery = true
	b.canary.Spec.Service.Canary = &flaggerv1.CustomMetadata{Annotations: map[string]string{"a": "b"}}
	b.primary()
	p := b.observe()
	b.must(p.EnsureServices(context.Background()))
	b.must(p.EnsureApex(context.Background()))
	svc := &corev1.Service{}
	b.get("podinfo", svc)
	if svc.Spec.Selector["app"] != "podinfo-primary" || svc.Spec.Ports[0].NodePort != 30080 || svc.Labels["team"] != "a" ||
		svc.Annotations["kustomize.toolkit.fluxcd.io/reconcile"] != "disabled" {
		t.Errorf("apex %+v", svc)
	}
	b.get("podinfo-canary", svc)
	if svc.Spec.Selector["app"] != "podinfo" || len(svc.Spec.Ports) != 2 || svc.Spec.Ports[1].Name != "metrics" ||
		svc.Annotations["a"] != "b" || svc.Labels["app"] != "podinfo-canary" {
		t.Errorf("canary %+v", svc)
	}
	b.must(p.RevertApex(context.Background()))
	b.get("podinfo", svc)
	if svc.Spec.Selector["app"] != "podinfo" || len(svc.Annotations) != 0 {
		t.Errorf("reverted %+v", svc)
	}
}
