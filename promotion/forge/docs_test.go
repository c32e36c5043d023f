// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestTheDocsSayWhatTheTableSays(t *testing.T) {
	page, err := os.ReadFile("../../docs/forges.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range providers {
		_, rest, ok := strings.Cut(string(page), "\n| `"+name+"` |")
		row, _, _ := strings.Cut(rest, "\n")
		cells := strings.Split(row, "|")
		if !ok || len(cells) != 6 {
			t.Errorf("docs/forges.md has no row for %s", name)
			continue
		}
		var hosts, lacks []string
		for _, host := range p.hosts {
			if strings.HasPrefix(host, ".") {
				host = "*" + host
			}
			hosts = append(hosts, "`"+host+"`")
		}
		for _, what := range []capabilityCheck{
			{supported: p.Draft, feature: "drafts"}, {supported: p.Labels, feature: "labels"}, {supported: p.Reviewers, feature: "reviewers"},
			{supported: p.Assignees, feature: "assignees"},
			{supported: p.AutoMerge, feature: "auto-merge"}, {supported: p.Queue, feature: "merge queue"},
			{supported: p.Reopen, feature: "reopening"},
			{supported: p.Mergeability, feature: "mergeability"}, {supported: p.Statuses, feature: "statuses"},
		} {
			if !what.supported {
				lacks = append(lacks, what.feature)
			}
		}
		var methods []string
		for _, method := range []Method{MergeCommit, Squash, Rebase, FastForward} {
			if !slices.Contains(p.Methods, method) {
				methods = append(methods, string(method))
			}
		}
		not := strings.Join(lacks, ", ")
		if len(methods) > 0 {
			not = strings.TrimPrefix(not+"; "+strings.Join(methods, ", "), "; ")
		}
		want := []string{strings.Join(hosts, ", "), not, fmt.Sprintf("%d, %d", p.TitleBytes, p.BodyBytes), p.needs}
		for i, text := range want {
			if got := strings.TrimSpace(cells[i+1]); got != text {
				t.Errorf("docs/forges.md says of %s %q, and the table %q", name, got, text)
			}
		}
	}
}
