// SPDX-License-Identifier: Apache-2.0

package decide

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/apply/inventory"
)

func TestARepairInALine(t *testing.T) {
	id := inventory.ID{Namespace: "apps", Name: "podinfo", Group: "apps", Kind: "Deployment"}
	other := Owner{Kind: "Kustomization", Namespace: "ns", Name: "other"}
	for line, tc := range map[string]struct {
		of     Contention
		action Action
	}{
		"created: somebody had deleted it":                  {Contention{Deleted: true}, Created},
		"configured: kubectl-edit had changed .spec.paused": {Contention{Manager: "kubectl-edit", Fields: []string{".spec.paused"}}, Configured},
		"configured: somebody had changed .a, .b":           {Contention{Fields: []string{".a", ".b"}}, Configured},
		"configured: x had changed .a, .b, .c, .d, .e and 2 more": {
			Contention{Manager: "x", Fields: []string{".a", ".b", ".c", ".d", ".e", ".f", ".g"}}, Configured},
		"configured: kubectl had changed it":                {Contention{Manager: "kubectl"}, Configured},
		"configured: Kustomization/ns/other had applied it": {Contention{Owner: other}, Configured},
	} {
		tc.of.ID, line = id, "Deployment/apps/podinfo "+line
		told := RepairOf(tc.of, tc.action)
		if got := told.Line(); got != line {
			t.Errorf("got  %s\nwant %s", got, line)
		}
		got, ok := ParseRepair(line)
		if diff := cmp.Diff(told, got); !ok || diff != "" {
			t.Errorf("%s: read as (-want +got):\n%s", line, diff)
		}
	}
	for _, line := range []string{"", "Deployment/apps/podinfo configured", "ConfigMap/ns/c created", "Applied revision: main@sha1:1",
		"ConfigMap/ns/c deleted: somebody had changed it", "a: b had changed c", "ConfigMap/ns/c created: x", "ConfigMap/ns/c configured: x"} {
		if got, ok := ParseRepair(line); ok {
			t.Errorf("%q is read as %+v", line, got)
		}
	}
}
