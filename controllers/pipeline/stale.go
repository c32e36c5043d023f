// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"regexp"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/promotion"
)

// failedObject is one that the message of a failed health check names, as Flux's controllers
// and ours write it: `[Canary/apps/app status: 'Failed': Canary analysis failed, ...]`.
var failedObject = regexp.MustCompile(`(\S+)/(\S+)/(\S+) status: 'Failed'`)

// waitsForStale says which Canary a Kustomization waits for that has not looked at its content
// yet, if that is all that its health check failed by; "" otherwise. A Canary says that it
// failed until it sees the version after: a Kustomization with `wait` that has just applied
// that version would take the verdict on the one before for its own.
func (r readyChecker) waitsForStale(
	ctx context.Context, t target, o object, k *kustomizev1.Kustomization, want promotion.Content,
) (string, error) {
	if k.Spec.KubeConfig != nil {
		return "", nil
	}
	message := ""
	if ready := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition); ready != nil {
		message = ready.Message
	}
	stale := ""
	for _, named := range failedObject.FindAllStringSubmatch(message, -1) {
		kind := named[1][strings.LastIndex(named[1], "[")+1:]
		key := types.NamespacedName{Namespace: named[2], Name: named[3]}
		canary := o.inSameCluster(flaggerv1.GroupVersion.WithKind(flaggerv1.CanaryKind), key)
		if kind != flaggerv1.CanaryKind || r.objects.allowed(canary) != nil {
			return "", nil
		}
		state, why, err := r.canaries.verification(ctx, canary, landingOf(r.state, t.stage), want)
		if err != nil || state == promotion.VerificationFailed {
			return "", err
		}
		stale = why
	}
	return stale, nil
}
