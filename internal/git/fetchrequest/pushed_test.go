// SPDX-License-Identifier: Apache-2.0

package fetchrequest

import (
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Who follows what was pushed, and who has it, decides who is asked to fetch it.
func TestWhoFollowsAPushAndWhoHasIt(t *testing.T) {
	const commit = "1f3870be274f6c49b3e31a0c6728957f1f3870be"
	for name, tc := range map[string]struct {
		edit         func(*sourcev1.GitRepository)
		push         func(*PushedCommit)
		follows, has bool
	}{
		"one of its branch":        {follows: true},
		"one of another branch":    {edit: func(r *sourcev1.GitRepository) { r.Spec.Reference.Branch = "live" }},
		"one by the branch's ref":  {edit: func(r *sourcev1.GitRepository) { r.Spec.Reference.Name = "refs/heads/main" }, follows: true},
		"one of a tag":             {edit: func(r *sourcev1.GitRepository) { r.Spec.Reference = &sourcev1.GitRepositoryRef{Tag: "main"} }},
		"one of another URL":       {edit: func(r *sourcev1.GitRepository) { r.Spec.URL = "https://git.example.com/other.git" }},
		"one that is suspended":    {edit: func(r *sourcev1.GitRepository) { r.Spec.Suspend = true }},
		"one that has the commit":  {edit: fetched("main@sha1:"+commit, pushed), follows: true, has: true},
		"one that has another one": {edit: fetched("main@sha1:other", pushed.Add(time.Hour)), follows: true},
		"one that fetched after the commit was there": {
			edit: fetched("main@sha1:later", pushed.Add(time.Second)), push: func(p *PushedCommit) { p.Present = pushed }, follows: true, has: true},
		"one that fetched before": {
			edit: fetched("main@sha1:before", pushed.Add(-time.Second)), push: func(p *PushedCommit) { p.Present = pushed }, follows: true},
		"no commit is nothing that anybody has": {
			edit: fetched("main@sha1:other", pushed), push: func(p *PushedCommit) { p.Commit = "" }, follows: true},
	} {
		t.Run(name, func(t *testing.T) {
			repo := &sourcev1.GitRepository{}
			repo.Spec.URL, repo.Spec.Reference = "https://git.example.com/fleet.git", &sourcev1.GitRepositoryRef{Branch: "main"}
			push := PushedTo(repo.DeepCopy(), "apps", commit, "main")
			if tc.edit != nil {
				tc.edit(repo)
			}
			if tc.push != nil {
				tc.push(&push)
			}
			if got := push.IsFollowedBy(repo); got != tc.follows {
				t.Errorf("follows: %t", got)
			}
			if got := push.IsIn(repo); got != tc.has {
				t.Errorf("has it: %t", got)
			}
		})
	}
}

func fetched(revision string, at time.Time) func(*sourcev1.GitRepository) {
	return func(r *sourcev1.GitRepository) {
		r.Status.Artifact = &meta.Artifact{Revision: revision, LastUpdateTime: metav1.NewTime(at)}
	}
}
