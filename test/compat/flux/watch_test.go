// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"context"
	"fmt"
	"sync"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// statuses looks at every version of every status while the stories are told.
// The CLI reads fields through pointers as soon as Ready is True, and panics if
// one is nil: no object may ever be Ready without them, not for a moment.
type statuses struct {
	watches []watch.Interface
	wg      sync.WaitGroup

	mu     sync.Mutex
	broken []string
}

func startWatch(ctx context.Context, c client.WithWatch) (*statuses, error) {
	s := &statuses{}
	for _, list := range []client.ObjectList{
		&imagev1.ImageRepositoryList{}, &imagev1.ImagePolicyList{}, &imagev1.ImageUpdateAutomationList{},
		&sourcev1.GitRepositoryList{}, &kustomizev1.KustomizationList{}, &notificationv1.ReceiverList{},
	} {
		w, err := c.Watch(ctx, list)
		if err != nil {
			return nil, fmt.Errorf("watching %T: %w", list, err)
		}
		s.watches = append(s.watches, w)
		s.wg.Go(func() {
			for event := range w.ResultChan() {
				s.look(event.Object)
			}
		})
	}
	return s, nil
}

func (s *statuses) look(object runtime.Object) {
	conditioned, ok := object.(interface {
		client.Object
		GetConditions() []metav1.Condition
	})
	if !ok || !apimeta.IsStatusConditionTrue(conditioned.GetConditions(), meta.ReadyCondition) {
		return
	}
	if field := missing(object); field != "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.broken = append(s.broken, fmt.Sprintf("%T %s was Ready without %s", object, client.ObjectKeyFromObject(conditioned), field))
	}
}

// missing is the field that the CLI reads of a Ready object, if it is not there.
func missing(object runtime.Object) string {
	switch o := object.(type) {
	case *imagev1.ImageRepository:
		if o.Status.LastScanResult == nil {
			return "status.lastScanResult"
		}
	case *imagev1.ImagePolicy:
		if o.Status.LatestRef == nil {
			return "status.latestRef"
		}
	case *sourcev1.GitRepository:
		if o.Status.Artifact == nil {
			return "status.artifact"
		}
	case *kustomizev1.Kustomization:
		if o.Status.LastAppliedRevision == "" {
			return "status.lastAppliedRevision"
		}
	case *notificationv1.Receiver:
		if o.Status.WebhookPath == "" {
			return "status.webhookPath"
		}
	}
	return ""
}

func (s *statuses) stop() []string {
	for _, w := range s.watches {
		w.Stop()
	}
	s.wg.Wait()
	return s.broken
}
