// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"context"
	"fmt"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// requestSources has the sources of the pushed branch fetch it. Those that
// this process serves hear of it inside the process; others are asked through the
// API, whoever serves them. One that could not be asked at the time of the push, or
// not any more because the process ended, is asked at the next run.
func (r *Reconciler) requestSources(
	ctx context.Context, a *imagev1.ImageUpdateAutomation, seen observation, pushed string,
) []reconciler.Event {
	if a.Status.LastPushCommit == "" || a.Status.LastPushTime == nil || r.ServesSources && pushed == "" {
		return nil
	}
	sources, err := r.sourcesOfBranch(ctx, a, seen)
	if err != nil {
		return []reconciler.Event{requestFailedEvent(a, err)}
	}
	var events []reconciler.Event
	for i := range sources {
		repo := &sources[i]
		switch {
		case r.ServesSources:
			r.Sources.Wake(client.ObjectKeyFromObject(repo))
		case pushed != "" || needsRequest(a, repo):
			if err := r.request(ctx, repo); err != nil {
				events = append(events, requestFailedEvent(a, err))
			}
		}
	}
	return events
}

// sourcesOfBranch are the GitRepositories that follow the branch pushed to: that of the
// automation, which may follow another one, and those beside it or beside the
// automation with the same repository, such as one that reads with credentials of
// its own.
func (r *Reconciler) sourcesOfBranch(
	ctx context.Context, a *imagev1.ImageUpdateAutomation, seen observation,
) ([]sourcev1.GitRepository, error) {
	key := sourceKey(a)
	var found []sourcev1.GitRepository
	for _, namespace := range slices.Compact([]string{key.Namespace, a.Namespace}) {
		var list sourcev1.GitRepositoryList
		if err := r.Client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			return nil, fmt.Errorf("listing the GitRepositories of namespace %s: %w", namespace, err)
		}
		for _, repo := range list.Items {
			branch := referenceOf(&repo).BranchName()
			follows := branch != "" && (branch == seen.request.Push || refOf(branch) == seen.request.Refspec.Target)
			if follows && !repo.Spec.Suspend && git.SameRepository(repo.Spec.URL, seen.repo.Spec.URL) {
				found = append(found, repo)
			}
		}
	}
	return found, nil
}

// needsRequest reports whether a source neither has the last commit nor was asked for a
// reconcile since it was pushed.
func needsRequest(a *imagev1.ImageUpdateAutomation, repo *sourcev1.GitRepository) bool {
	return !strings.HasSuffix(revisionOf(repo), a.Status.LastPushCommit) &&
		reconciler.RequestedAt(repo).Before(a.Status.LastPushTime.Time)
}

func (r *Reconciler) request(ctx context.Context, repo *sourcev1.GitRepository) error {
	object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: repo.Namespace, Name: repo.Name}}
	object.SetGroupVersionKind(sourcev1.GroupVersion.WithKind(sourcev1.GitRepositoryKind))
	return reconciler.Request(ctx, r.Client, object, r.Clock.Now())
}

// requestFailedEvent says why a source was not asked for a reconcile, which delays the release and loses nothing.
func requestFailedEvent(a *imagev1.ImageUpdateAutomation, err error) reconciler.Event {
	return reconciler.Event{
		Type: corev1.EventTypeWarning, Reason: imagev1.SourceRequestFailedReason,
		Message:  fmt.Sprintf("%v; commit '%s' is fetched at the interval of the GitRepository", err, short(a.Status.LastPushCommit)),
		Metadata: map[string]string{imagev1.CommitAnnotation: a.Status.LastPushCommit},
	}
}
