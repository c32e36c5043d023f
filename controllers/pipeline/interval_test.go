// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

type noEvents struct{}

func (noEvents) Event(client.Object, reconciler.Event) {}

// A suspended Pipeline neither promotes nor takes anything back, and goes on where it was.
func TestASuspendedPipelineWritesNothing(t *testing.T) {
	e := newEnv(t)
	must(t, e.Client.Create(t.Context(), e.pipeline))
	runner, key := e.runner(noEvents{}), client.ObjectKeyFromObject(e.pipeline)
	run := func() {
		t.Helper()
		e.runs(runner)
	}
	suspend := func(suspend bool) {
		t.Helper()
		must(t, e.Client.Get(t.Context(), key, e.pipeline))
		e.pipeline.Spec.Suspend = suspend
		e.update(e.pipeline)
	}
	run()
	suspend(true)
	e.release("2")
	before, refs := e.pipeline.DeepCopy(), e.server.Requests()
	run()
	e.want("1", "1")
	if e.pipeline.ResourceVersion != before.ResourceVersion || e.server.Requests() != refs {
		t.Errorf("it asked the server, or its status was written: %+v", e.pipeline.Status)
	}
	suspend(false)
	run()
	e.want("2", "1")

	suspend(true)
	e.apply("staging", fails)
	run()
	e.want("2", "1")
	suspend(false)
	run()
	e.want("1", "1")
}

// What nobody tells of is seen within the interval of a Pipeline, and not before: a commit to a
// branch that no GitRepository follows.
func TestTheIntervalIsTheLongestTimeBetweenTwoLooks(t *testing.T) {
	e := newEnv(t, func(p *sluicev1.Pipeline) {
		p.Spec.Interval = metav1.Duration{Duration: 7 * time.Minute}
		p.Spec.Stages[1].Write.Branch, p.Spec.Stages[1].Ready = "live", nil
	})
	e.repo.Git("branch", "live", "main")
	look := func() {
		t.Helper()
		result, err := e.Reconcile(t.Context(), e.pipeline)
		must(t, err)
		if result.After != 7*time.Minute {
			t.Errorf("it is looked at again after %s", result.After)
		}
		e.fetch()
	}
	live := func() string {
		return strings.TrimSpace(e.repo.Git("show", "live:production/app.yaml"))
	}
	look()
	e.release("2")
	e.reconcile()
	e.apply("staging")
	e.reconcile()
	if !strings.Contains(live(), "app:2 ") {
		t.Fatalf("production has %s: %+v", live(), e.pipeline.Status.Stages)
	}
	e.repo.Commit("live", gitserver.Files{"production/app.yaml": strings.Replace(marked, "app:1", "app:0", 1)})
	look()
	before := e.server.Requests()
	look()
	if after := e.server.Requests(); after != before {
		t.Errorf("%d requests between two looks", after-before)
	}
	e.clock.Step(7 * time.Minute)
	look()
	if has := e.pipeline.Status.Stages[1].Has; has == nil || has.Versions[0].Tag != "0" {
		t.Errorf("a commit to another branch is not seen: %+v", e.pipeline.Status.Stages[1])
	}
}
