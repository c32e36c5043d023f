// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-git/go-git/v5/plumbing"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/writeback"
)

// queue is the one of the pipelines.
type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// watchSources wakes the pipelines on a GitRepository that has changed. Hundreds may be on one,
// and each commit of one of them moves it: a commit wakes those alone that it is about.
func (r *Reconciler) watchSources(b *builder.Builder) *builder.Builder {
	every := handler.EnqueueRequestsFromMapFunc(r.affected().pipelinesOfSpec)
	return b.Watches(&sourcev1.GitRepository{}, handler.Funcs{
		CreateFunc: every.Create, DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) {
			r.opened.forget(client.ObjectKeyFromObject(e.Object))
			every.Delete(ctx, e, q)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			handler.EnqueueRequestsFromMapFunc(r.pipelinesOfMove(e)).Update(ctx, e, q)
		},
	})
}

// isOn selects the pipelines on a GitRepository.
func isOn(repo client.Object) func(*sluicev1.Pipeline) bool {
	return func(p *sluicev1.Pipeline) bool { return slices.Contains(p.Sources(), client.ObjectKeyFromObject(repo)) }
}

// pipelinesOfMove are the pipelines on a GitRepository that its update is about: all if more
// has changed than its status, or it is not known what.
func (r *Reconciler) pipelinesOfMove(e event.UpdateEvent) handler.MapFunc {
	before, ok := e.ObjectOld.(*sourcev1.GitRepository)
	after, is := e.ObjectNew.(*sourcev1.GitRepository)
	switch {
	case !ok || !is || before.Generation != after.Generation:
		return r.affected().pipelinesOfSpec
	case !maps.Equal(ownAnnotations(before), ownAnnotations(after)):
		return r.affected().pipelinesOfSource
	}
	m := revisionChange{repo: after, moved: revisionOf(before) != revisionOf(after), unseen: r.caches.unseen}
	if m.moved {
		var known bool
		if m.changed, known = r.opened.changedPaths(before, after); !known {
			return r.affected().pipelinesOfSource
		}
	}
	on := isOn(after)
	return func(ctx context.Context, _ client.Object) []reconcile.Request {
		return r.affected().pipelines(ctx, "", func(p *sluicev1.Pipeline) bool { return on(p) && m.concerns(p) })
	}
}

// ownAnnotations are those that say something about an object; a request for a reconcile
// does not.
func ownAnnotations(o client.Object) map[string]string {
	own := maps.Clone(o.GetAnnotations())
	delete(own, meta.ReconcileRequestAnnotation)
	return own
}

func revisionOf(repo *sourcev1.GitRepository) string {
	if repo.Status.Artifact == nil {
		return ""
	}
	return repo.Status.Artifact.Revision
}

// revisionChange is an update of the status of a GitRepository: it may have moved from one commit to
// another, which have different files at some paths.
type revisionChange struct {
	repo    *sourcev1.GitRepository
	moved   bool
	changed []string
	// unseen reports whether a pipeline has pushed to a branch, and not looked at another revision
	// of its GitRepository since.
	unseen func(pipeline client.ObjectKey, at branchKey) bool
}

// concerns reports whether a pipeline has to look at what a GitRepository moved to: it has
// files there that have changed, or a pull request that may be behind now. One with which
// something is wrong looks at everything.
func (m revisionChange) concerns(p *sluicev1.Pipeline) bool {
	ready := apimeta.FindStatusCondition(p.Status.Conditions, meta.ReadyCondition)
	if ready == nil || ready.Status != "True" || ready.ObservedGeneration != p.Generation {
		return true
	}
	for i := range p.Spec.Stages {
		stage := &p.Spec.Stages[i]
		if stage.Write.Tag != nil || sourceKeyOf(p, stage) != client.ObjectKeyFromObject(m.repo) {
			continue
		}
		if m.moved && (stage.Write.PullRequest != nil || m.touches(stage) || m.takesBack(p, stage)) {
			return true
		}
	}
	return false
}

// takesBack reports whether the GitRepository may have moved past a commit of the pipeline's own,
// which it never had: a commit that somebody took back at once changes no file between the two
// revisions, and is news for the pipeline all the same.
func (m revisionChange) takesBack(p *sluicev1.Pipeline, stage *sluicev1.Stage) bool {
	at := branchKey{client.ObjectKeyFromObject(m.repo), writeback.BranchOf(stage, m.repo)}
	return m.unseen(client.ObjectKeyFromObject(p), at)
}

// touches reports whether files of a stage have changed. The GitRepository tells of its own
// branch alone.
func (m revisionChange) touches(stage *sluicev1.Stage) bool {
	if writeback.BranchOf(stage, m.repo) != writeback.BranchOf(&sluicev1.Stage{}, m.repo) {
		return false
	}
	for _, t := range targetsOf(stage) {
		at := strings.TrimPrefix(path.Clean("/"+t.path), "/")
		if slices.ContainsFunc(m.changed, func(file string) bool { return within(file, at) || within(at, file) }) {
			return true
		}
	}
	return false
}

// mirrors are those of GitRepositories, as they were opened last.
type mirrors struct {
	mu           sync.Mutex
	byRepository map[types.NamespacedName]*git.Mirror
}

func (m *mirrors) set(repo types.NamespacedName, mirror *git.Mirror) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byRepository == nil {
		m.byRepository = map[types.NamespacedName]*git.Mirror{}
	}
	m.byRepository[repo] = mirror
}

func (m *mirrors) forget(repo types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.byRepository, repo)
}

// mostChanged bounds the paths of a move that are compared with those of pipelines.
const mostChanged = 200

// changedPaths are the paths that have changed between two revisions of a GitRepository. They are not
// known if the mirror does not have both commits, or there are too many: no server is asked.
func (m *mirrors) changedPaths(before, after *sourcev1.GitRepository) (paths []string, known bool) {
	m.mu.Lock()
	mirror := m.byRepository[client.ObjectKeyFromObject(after)]
	m.mu.Unlock()
	from, ok := filesOf(mirror, before)
	to, is := filesOf(mirror, after)
	if !ok || !is {
		return nil, false
	}
	paths, known, err := tree.Changed(from, to, mostChanged)
	return paths, known && err == nil
}

// filesOf are the files of the revision of a GitRepository, if the mirror has them.
func filesOf(mirror *git.Mirror, repo *sourcev1.GitRepository) (tree.Tree, bool) {
	_, hash, isCommit := strings.Cut(revisionOf(repo), "@sha1:")
	if mirror == nil || !isCommit || !mirror.Has(plumbing.NewHash(hash)) {
		return nil, false
	}
	files, err := mirror.Tree(plumbing.NewHash(hash))
	return files, err == nil
}
