// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// Bounds of what is told about objects that were applied all the same.
const (
	maxRemarks      = 20  // objects
	maxRemarkLength = 300 // characters for one object
)

// remarks are lines about objects, one for each.
type remarks []string

func (r *remarks) add(id inventory.ID, texts []string) {
	*r = append(*r, id.Subject()+": "+strings.Join(texts, "; "))
}

// under returns the lines with a title above them; "" when there are none. Values are
// hidden before a line is cut, so that no part of one is left.
func (r remarks) under(title string, hide func(string) string) string {
	if len(r) == 0 {
		return ""
	}
	text := title + ":"
	for _, line := range r[:min(len(r), maxRemarks)] {
		text += "\n" + shorten.Runes(hide(line), maxRemarkLength, shorten.Dots)
	}
	if more := len(r) - maxRemarks; more > 0 {
		text += fmt.Sprintf("\nand of %d more objects", more)
	}
	return text
}

// remark notes what people should be told of an object.
func (o *Result) remark(id inventory.ID, left, next *decide.Applied) {
	var before decide.Applied
	if left != nil {
		before = *left
	}
	if isNews(left, next, before.Warnings, next.Warnings) {
		o.warnings.add(id, next.Warnings)
	}
}

// isNews reports whether texts about an object should be told: it was written, or there
// were other texts before. An apply that changes nothing after a restart is no news.
func isNews(left, next *decide.Applied, before, now []string) bool {
	written := next.Action == decide.Created || next.Action == decide.Configured
	return len(now) > 0 && next.Action != decide.Skipped && (written || left != nil && !slices.Equal(before, now))
}

// warningsOf are the API server's warnings about an object. Those about a Secret may quote
// its values: only their number is kept.
func warningsOf(o *object, got applyResponse) []string {
	if o.isSecret() && len(got.warnings) > 0 {
		return []string{fmt.Sprintf("%d warnings, which are not shown because they may quote the Secret", len(got.warnings))}
	}
	return got.warnings
}

// Warnings tells what the API server warned of when objects were applied, deprecated
// versions for example, or pods that a Pod Security Standard will refuse; "" if there is
// no news of any. Values to hide are hidden by hide.
func (o *Result) Warnings(hide func(string) string) string {
	return o.warnings.under("applied, but the API server warns of these objects", hide)
}
