// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/forge"
)

func TestWhenAListOfPullRequestsIsShared(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	ours := recentKey{repository: types.NamespacedName{Namespace: "apps", Name: "fleet"}}
	for name, tc := range map[string]struct {
		key   recentKey
		since time.Time
		after time.Duration
		want  bool
	}{
		"by who is woken with it":               {key: ours, want: true},
		"by who is woken a moment later":        {key: ours, after: sharedFor, since: start, want: true},
		"not by who is woken much later":        {key: ours, after: sharedFor + 1},
		"not by who was woken by what is newer": {key: ours, after: time.Second, since: start.Add(1)},
		"not with another credential": {
			key: recentKey{repository: ours.repository, secret: types.NamespacedName{Namespace: "b", Name: "b"}},
		},
		"not with another API": {key: recentKey{repository: ours.repository, api: "https://example.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			var r recentPullRequests
			asked := 0
			ask := func(context.Context) ([]forge.PullRequest, error) {
				asked++
				return []forge.PullRequest{{Number: int64(asked)}}, nil
			}
			_, err := r.get(t.Context(), ours, time.Time{}, start, ask)
			must(t, err)
			list, err := r.get(t.Context(), tc.key, tc.since, start.Add(tc.after), ask)
			must(t, err)
			if shared := list[0].Number == 1; shared != tc.want || len(list) != 1 {
				t.Errorf("it is shared: %t (%d requests)", shared, asked)
			}
		})
	}
}

func TestAListThatCouldNotBeReadIsNotShared(t *testing.T) {
	var r recentPullRequests
	now, away := time.Unix(1_700_000_000, 0), errors.New("away")
	_, err := r.get(t.Context(), recentKey{}, time.Time{}, now, func(context.Context) ([]forge.PullRequest, error) { return nil, away })
	if !errors.Is(err, away) {
		t.Fatalf("got %v", err)
	}
	list, err := r.get(t.Context(), recentKey{}, time.Time{}, now, func(context.Context) ([]forge.PullRequest, error) { return nil, nil })
	if err != nil || len(list) > 0 {
		t.Errorf("got %v, %v", list, err)
	}
}

func TestListsAreForgotten(t *testing.T) {
	var r recentPullRequests
	now := time.Unix(1_700_000_000, 0)
	for i := range 3 {
		_, err := r.get(t.Context(), recentKey{api: string(rune('a' + i))}, time.Time{}, now.Add(time.Duration(i)*time.Minute),
			func(context.Context) ([]forge.PullRequest, error) { return nil, nil })
		must(t, err)
	}
	if len(r.answers) != 1 {
		t.Errorf("%d are remembered", len(r.answers))
	}
}

func TestWhenSomethingHappened(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 500, time.UTC)
	second := now.Truncate(time.Second)
	for name, tc := range map[string]struct {
		asked   string
		fetched time.Time
		want    time.Time
	}{
		"nothing":                         {},
		"a repository moved":              {fetched: second, want: second.Add(time.Second)},
		"somebody asked":                  {asked: now.Format(time.RFC3339Nano), fetched: second.Add(-time.Minute), want: now},
		"somebody asked with few digits":  {asked: second.Format(time.RFC3339), want: second.Add(time.Second)},
		"somebody asked with other words": {asked: "now", want: now},
	} {
		t.Run(name, func(t *testing.T) {
			p := shop()
			if tc.asked != "" {
				p.Annotations = map[string]string{meta.ReconcileRequestAnnotation: tc.asked}
			}
			repo := &repository{object: &sourcev1.GitRepository{}}
			repo.object.Status.Artifact = &meta.Artifact{LastUpdateTime: metav1.NewTime(tc.fetched)}
			if got := lastChangeAt(p, repositories{"staging": repo}, now); !got.Equal(tc.want) {
				t.Errorf("at %s, want %s", got, tc.want)
			}
		})
	}
}

// Each pipeline on a repository asked for the same list when they were woken together.
func TestPipelinesOnARepositoryShareARequest(t *testing.T) {
	e := newGitHubEnv(t)
	e.verify("2")
	e.apply("production")
	e.reconcile()
	other := e.pipeline.DeepCopy()
	other.Name, other.Status = "shop2", sluicev1.PipelineStatus{}
	for range 2 {
		_, err := e.Reconcile(t.Context(), other)
		must(t, err)
	}
	e.clock.Step(e.pipeline.Spec.Interval.Duration)
	e.asked()
	for _, p := range []*sluicev1.Pipeline{e.pipeline, other} {
		_, err := e.Reconcile(t.Context(), p)
		must(t, err)
	}
	if asked := e.asked(); len(asked) != 1 || asked[0] != "GET "+gitHubRepo+"/pulls" {
		t.Errorf("%q was asked", asked)
	}
}
