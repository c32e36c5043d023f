// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"fmt"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/tree"
)

// appliers are the Kustomizations in `ready` of a target, by whether they apply its path.
type appliers struct {
	elsewhere []string
	// known means that one of them, or an object of another kind, tells what runs.
	known bool
}

// add notes a Kustomization that was read. The paths of one that applies an artifact are not
// those of the repository. Its GitRepository may have any name: in another cluster it often has
// another, and the revision of another repository verifies nothing.
func (a *appliers) add(o object, k *kustomizev1.Kustomization, t target) {
	if t.tag != nil || k.Spec.SourceRef.Kind != sourcev1.GitRepositoryKind ||
		tree.Below(k.Spec.Path, t.path) || tree.Below(t.path, k.Spec.Path) {
		a.known = true
		return
	}
	a.elsewhere = append(a.elsewhere, fmt.Sprintf("%s applies %s", o, k.Spec.Path))
}

// reportsOwnVersion reports whether an object says which version it runs without the Kustomization
// that applied it.
func reportsOwnVersion(o object) bool {
	return o.isKind(applicationKind) || o.isKind(flaggerv1.CanaryKind) || o.Group == "apps" || o.Group == "batch"
}

// warning is that of a target; false if there is nothing to warn of. A kustomization file may
// lead from one folder to another, so that it is no more than a warning.
func (a *appliers) warning(t target) (reconciler.Warning, bool) {
	if a.known || len(a.elsewhere) == 0 {
		return reconciler.Warning{}, false
	}
	field := "spec.stages[" + t.stage + "].ready"
	if t.ownReady {
		field = fmt.Sprintf("spec.stages[%s].targets[%s].ready", t.stage, t.name)
	}
	return reconciler.Warning{Reason: sluicev1.AppliedElsewhereReason, Text: fmt.Sprintf(
		"%s: %s, and %s is %s: unless a kustomization file leads there, nobody applies what is written, and every bundle is verified: "+
			"name the Kustomization that applies it", field, strings.Join(a.elsewhere, ", "), t.pathField(), t.path)}, true
}

// warn has the condition Warning say what is probably a mistake, and an event if it is news.
func (r *run) warn() {
	before := ""
	if c := apimeta.FindStatusCondition(r.pipeline.Status.Conditions, sluicev1.WarningCondition); c != nil {
		before = c.Message
	}
	var news []string
	for _, w := range r.warnings {
		if !strings.Contains(before, w.Text) {
			news = append(news, w.Text)
		}
	}
	if len(news) > 0 {
		r.events = append(r.events, reconciler.Event{
			Type: corev1.EventTypeWarning, Reason: sluicev1.AppliedElsewhereReason, Message: reconciler.WarningLines(news), Advice: true,
		})
	}
	r.warned = reconciler.SetWarnings(r.pipeline, r.controller.Clock.Now(), r.warnings)
}
