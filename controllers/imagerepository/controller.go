// SPDX-License-Identifier: Apache-2.0

// Package imagerepository reconciles ImageRepository: it asks a registry for
// the tags of an image, keeps them for policies, and sums them up in status.
//
//	interval, spec, request --> due? --> scan.Scanner --> scan.Store --> status
//	                                          |
//	             pending <--------------------+   done: reconciled again
//
// The registry is asked when the interval has passed, when a person or a webhook
// requests it, when the object was edited or resumed, and when the last attempt
// failed. For a new object, and when the tags are not in memory as after a
// restart, a listing that is younger than the interval will do, be it from disk or
// from another ImageRepository of the same image and credentials.
//
// A worker does not wait for a registry longer than a moment. An object that is
// Ready stays so until its scan is done; one that is not, or whose scan was
// requested, is Reconciling meanwhile.
//
// Intervals are shortened by up to a tenth, by a part that is each object's own, so
// that objects that were made together do not scan together for ever.
//
// A scan that finds nothing new writes nothing, with one exception. Clients show
// status.lastScanResult.scanTime as LAST SCAN, and one that stands still looks
// like a controller that does, so it is brought up to date when it is ten minutes
// old. Until then it may be earlier than the last scan.
//
// spec.accessFrom is honoured by the policies that refer to the repository.
package imagerepository

import (
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/scan"
)

// +kubebuilder:rbac:groups=image.toolkit.fluxcd.io,resources=imagerepositories,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=image.toolkit.fluxcd.io,resources=imagerepositories/status,verbs=get;patch
// +kubebuilder:rbac:groups="",resources=secrets;serviceaccounts,verbs=get
// +kubebuilder:rbac:groups="",resources=serviceaccounts/token,verbs=create
// +kubebuilder:rbac:groups="",resources=events,verbs=create;patch

// Reconciler scans registries.
type Reconciler struct {
	// Secrets reads Secrets and ServiceAccounts; it should not cache them.
	Secrets  client.Reader
	Registry *registry.Client
	// Scanner is over Registry, and puts tags into the store of the policies.
	Scanner *scan.Scanner
	Clock   clock.PassiveClock
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, opts reconciler.Options) error {
	return reconciler.Setup(mgr, kind, r, opts, r.watchScans, reconciler.OnDelete(&imagev1.ImageRepository{}, r.Scanner.Forget))
}

var kind = reconciler.Kind[*imagev1.ImageRepository]{
	Name:      "imagerepository",
	New:       func() *imagev1.ImageRepository { return &imagev1.ImageRepository{} },
	Suspended: func(repo *imagev1.ImageRepository) bool { return repo.Spec.Suspend },
	Observed: func(repo *imagev1.ImageRepository) reconciler.StatusFields {
		return reconciler.StatusFields{
			Generation: &repo.Status.ObservedGeneration,
			HandledAt:  &repo.Status.LastHandledReconcileAt,
		}
	},
	About: func(repo *imagev1.ImageRepository) map[string]string {
		if repo.Status.LastScanResult == nil {
			return nil
		}
		return map[string]string{imagev1.RevisionAnnotation: repo.Status.LastScanResult.Revision}
	},
}

// watchScans brings repositories back whose scan took longer than a worker waits.
func (r *Reconciler) watchScans(b *builder.Builder) *builder.Builder {
	return b.WatchesRawSource(r.Scanner.Done())
}
