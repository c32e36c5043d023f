// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strconv"
	"time"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// table is for people. The name of a row is the tag.
func table(x report.Explanation) output.Table {
	t := output.Table{Columns: []string{"TAG", "RANK", "DROPPED BY", "WHY", "COMPARED", "FIRST SEEN", "DIGEST"}, Short: 4}
	for _, l := range x.Tags {
		rank, why, seen := "", l.Why, ""
		if l.Rank > 0 {
			rank = strconv.Itoa(l.Rank)
		}
		switch {
		case l.Chosen && why == "":
			why = "chosen"
		case l.Chosen:
			why += "; the present choice"
		}
		if l.FirstSeen != nil {
			seen = l.FirstSeen.UTC().Format(time.RFC3339)
		}
		t.Add(l.Tag, l.Tag, rank, string(l.Gate), why, l.Text, seen, l.Digest)
	}
	return t
}
