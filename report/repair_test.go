// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/report"
)

func TestWhatWasRepairedByItsEvents(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	event := func(minute int, message string) report.Event {
		return report.Event{Time: at.Add(time.Duration(minute) * time.Minute), Message: message, Count: minute}
	}
	got := report.Repairs([]report.Event{
		event(1, "Deployment/apps/podinfo created\nNamespace/apps configured"),
		event(2, "ClusterRole/view created: somebody had deleted it\nService/apps/podinfo configured"),
		event(3, "Deployment/apps/podinfo configured: kubectl had changed .spec.replicas and 2 more\n"),
		event(4, "Reconciliation finished in 1s, next run in 10m"),
	})
	object := func(kind, namespace, name string) report.ObjectReference {
		return report.ObjectReference{Kind: kind, Namespace: namespace, Name: name}
	}
	want := []report.Repair{
		{ObjectReference: object("Deployment", "apps", "podinfo"), At: at.Add(3 * time.Minute), Count: 3, By: "kubectl",
			Fields: []string{".spec.replicas"}, More: 2},
		{ObjectReference: object("ClusterRole", "", "view"), At: at.Add(2 * time.Minute), Count: 2, Deleted: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	line := "ConfigMap/a/b created: somebody had deleted it\n"
	if got := report.Repairs([]report.Event{event(1, strings.Repeat(line, 1000))}); len(got) != 200 {
		t.Errorf("%d are told", len(got))
	}
}
