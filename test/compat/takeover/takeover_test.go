// SPDX-License-Identifier: Apache-2.0

// Package takeover hands a running release chain from Flux to Sluice and back.
//
// The objects carry what Flux's controllers leave behind: finalizers, statuses,
// an inventory, managed fields. Sluice starts, and nothing may happen that the
// chain does not ask for: no object is made again, none is pruned, nothing is
// committed twice. Then it has to do its work on them. Afterwards the
// CRDs with extensions are replaced by upstream's, which do not know Sluice's extensions, and
// every object has to be one that upstream's controllers could have written.
//
// An installation of Flux's own controllers, which hack/upstream.sh builds, is taken over and handed back likewise: see
// [TestAnInstallationOfFluxIsTakenOverAndHandedBack].
package takeover

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/test/harness"
)

func TestAChainIsTakenOverAndHandedBack(t *testing.T) {
	f := newFleet(t)
	before := f.look(t)
	sluice, err := f.StartController(t.Context(), t.TempDir(), "--watch-namespace", namespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sluice.Stop)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(sluice.Tail(6000))
		}
	})
	steps := []struct {
		name string
		test func(*testing.T)
	}{
		{"every status moves on", f.everyStatusMovesOn},
		{"alerts and where they go are looked at", f.alertsAreReady},
		{"nothing else does", func(t *testing.T) { f.nothingElseMoved(t, before) }},
		{"what Git drops is dropped", f.whatGitDropsIsDropped},
		{"a new tag is committed once", f.aNewTagIsCommittedOnce},
		{"stopping", func(*testing.T) { sluice.Stop() }},
		{"upstream reads every object", f.upstreamReadsEveryObject},
		{"upstream applies Git without a conflict", f.upstreamAppliesWithoutConflict},
	}
	for _, step := range steps {
		if !t.Run(step.name, step.test) {
			return
		}
	}
}

// sight is what must not change by itself.
type sight struct {
	Deployment, Settings string // UID and generation
	Commits              []string
	LatestRef            imagev1.ImageRef
	Inventory            []string
	WebhookPath          string
	// ExternalArtifact is its UID and version: nobody here writes it.
	ExternalArtifact string
}

func (f *fleet) look(t *testing.T) sight {
	t.Helper()
	deployment, settings := &appsv1.Deployment{}, &corev1.ConfigMap{}
	f.get(t, app, deployment)
	f.get(t, "settings", settings)
	policy, kustomization := &imagev1.ImagePolicy{}, &kustomizev1.Kustomization{}
	f.get(t, app, policy)
	f.get(t, app, kustomization)
	receiver, external := &notificationv1.Receiver{}, &sourcev1.ExternalArtifact{}
	f.get(t, app, receiver)
	f.get(t, app, external)
	log, err := f.repo.Log(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return sight{
		Deployment: fmt.Sprint(deployment.UID, deployment.Generation),
		Settings:   fmt.Sprint(settings.UID, settings.ResourceVersion),
		Commits:    log, LatestRef: *policy.Status.LatestRef, Inventory: inventory(kustomization),
		WebhookPath: receiver.Status.WebhookPath, ExternalArtifact: fmt.Sprint(external.UID, external.ResourceVersion),
	}
}

func inventory(k *kustomizev1.Kustomization) []string {
	var ids []string
	for _, entry := range k.Status.Inventory.Entries {
		ids = append(ids, entry.ID)
	}
	slices.Sort(ids)
	return ids
}

func (f *fleet) get(t *testing.T, name string, object client.Object) {
	t.Helper()
	if err := f.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, object); err != nil {
		t.Fatal(err)
	}
}

// everyStatusMovesOn asks each object for a reconcile, as `flux reconcile` does,
// and waits until all are Ready with what Sluice made.
func (f *fleet) everyStatusMovesOn(t *testing.T) {
	const request = "2026-02-02T00:00:00Z"
	objects := map[string]conditioned{
		"GitRepository": &sourcev1.GitRepository{}, "Bucket": &sourcev1.Bucket{}, "OCIRepository": &sourcev1.OCIRepository{},
		"Kustomization": &kustomizev1.Kustomization{}, "ImageRepository": &imagev1.ImageRepository{}, "ImagePolicy": &imagev1.ImagePolicy{},
		"ImageUpdateAutomation": &imagev1.ImageUpdateAutomation{}, "Receiver": &notificationv1.Receiver{},
	}
	for kind, object := range objects {
		f.get(t, app, object)
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"%s":"%s"}}}`, meta.ReconcileRequestAnnotation, request)
		if err := f.Client.Patch(t.Context(), object, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
	}
	for kind, object := range objects {
		harness.MustEventually(t, kind+" being handled", func(ctx context.Context) (bool, string) {
			if err := f.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: app}, object); err != nil {
				return false, err.Error()
			}
			ready := apimeta.FindStatusCondition(object.GetConditions(), meta.ReadyCondition)
			if ready == nil {
				return false, "no Ready condition"
			}
			return ready.Status == metav1.ConditionTrue && handled(object) == request,
				fmt.Sprintf("%s: %s, handled %q", ready.Reason, ready.Message, handled(object))
		})
	}
	git := objects["GitRepository"].(*sourcev1.GitRepository)
	artifacts := append([]*meta.Artifact{git.Status.Artifact}, git.Status.IncludedArtifacts...)
	artifacts = append(artifacts, objects["Bucket"].(*sourcev1.Bucket).Status.Artifact,
		objects["OCIRepository"].(*sourcev1.OCIRepository).Status.Artifact)
	if len(artifacts) != 4 {
		t.Errorf("%d artifacts, want one that is included", len(artifacts))
	}
	for _, artifact := range artifacts {
		if strings.Contains(artifact.URL, "source-controller.flux-system") {
			t.Errorf("the artifact is still the one of Flux: %s", artifact.URL)
		}
	}
	oci := objects["OCIRepository"].(*sourcev1.OCIRepository)
	verified := apimeta.FindStatusCondition(oci.Status.Conditions, sourcev1.SourceVerifiedCondition)
	if verified == nil || verified.Status != metav1.ConditionTrue || !strings.Contains(verified.Message, oci.Status.Artifact.Revision) {
		t.Errorf("the signature of %s is not verified: %+v", oci.Status.Artifact.Revision, verified)
	}
	scanned := objects["ImageRepository"].(*imagev1.ImageRepository).Status.LastScanResult
	if time.Since(scanned.ScanTime.Time) > time.Hour {
		t.Errorf("the scan is still the one of Flux: %s", scanned.ScanTime)
	}
}

// alertsAreReady waits until the Provider and the Alert, which have no status in Flux, are Ready.
func (f *fleet) alertsAreReady(t *testing.T) {
	for kind, object := range map[string]conditioned{"Provider": &v1beta3.Provider{}, "Alert": &v1beta3.Alert{}} {
		harness.MustEventually(t, kind+" being Ready", func(ctx context.Context) (bool, string) {
			err := f.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: app}, object)
			return err == nil && apimeta.IsStatusConditionTrue(object.GetConditions(), meta.ReadyCondition), fmt.Sprint(object.GetConditions(), err)
		})
	}
}

// conditioned is an object with conditions.
type conditioned interface {
	client.Object
	GetConditions() []metav1.Condition
}

func handled(object client.Object) string {
	switch o := object.(type) {
	case *sourcev1.GitRepository:
		return o.Status.LastHandledReconcileAt
	case *sourcev1.Bucket:
		return o.Status.LastHandledReconcileAt
	case *sourcev1.OCIRepository:
		return o.Status.LastHandledReconcileAt
	case *kustomizev1.Kustomization:
		return o.Status.LastHandledReconcileAt
	case *imagev1.ImageRepository:
		return o.Status.LastHandledReconcileAt
	case *imagev1.ImagePolicy:
		return o.Status.LastHandledReconcileAt
	case *imagev1.ImageUpdateAutomation:
		return o.Status.LastHandledReconcileAt
	case *notificationv1.Receiver:
		return o.Status.LastHandledReconcileAt
	}
	return ""
}

func (f *fleet) nothingElseMoved(t *testing.T, before sight) {
	if diff := cmp.Diff(before, f.look(t)); diff != "" {
		t.Errorf("taking over changed (-before +after):\n%s", diff)
	}
}

// whatGitDropsIsDropped proves that the inventory and the managed fields were
// really taken over: only who owns an object or a field can remove it.
func (f *fleet) whatGitDropsIsDropped(t *testing.T) {
	file, err := f.repo.File(t.Context(), "deploy/podinfo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	shorter := strings.ReplaceAll(file, "  minReadySeconds: 1\n", "") + "\n"
	f.commit(t, "Drop the settings and a field", map[string]string{"deploy/settings.yaml": "", "deploy/podinfo.yaml": shorter})
	f.request(t, &sourcev1.GitRepository{})
	harness.MustEventually(t, "pruning the settings", func(ctx context.Context) (bool, string) {
		err := f.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "settings"}, &corev1.ConfigMap{})
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
	harness.MustEventually(t, "removing the field", func(ctx context.Context) (bool, string) {
		deployment := &appsv1.Deployment{}
		err := f.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: app}, deployment)
		return err == nil && deployment.Spec.MinReadySeconds == 0, fmt.Sprint(err, deployment.Spec.MinReadySeconds)
	})
}

func (f *fleet) aNewTagIsCommittedOnce(t *testing.T) {
	f.push(t, "1.2.0")
	f.request(t, &imagev1.ImageRepository{})
	harness.MustEventually(t, "applying 1.2.0", func(ctx context.Context) (bool, string) {
		deployment := &appsv1.Deployment{}
		if err := f.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: app}, deployment); err != nil {
			return false, err.Error()
		}
		image := deployment.Spec.Template.Spec.Containers[0].Image
		return strings.HasSuffix(image, ":1.2.0"), image
	})
	log, err := f.repo.Log(t.Context())
	if err != nil || len(log) != 4 || log[0] != "Update from image update automation" {
		t.Errorf("the log is %q (%v), want one update on top of what was there", log, err)
	}
}

// request asks for a reconcile.
func (f *fleet) request(t *testing.T, object client.Object) {
	t.Helper()
	f.get(t, app, object)
	if _, err := f.RequestReconcile(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}
