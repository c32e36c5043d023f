// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"regexp"
	"strings"
)

// committed shows the changed lines of a commit, which is the whole diff: a
// write-back touches nothing else. What a pipeline decided before it is told first.
func (n *timeline) committed(ctx context.Context, commit string) []Entry {
	if commit == "" || !n.first("commit "+commit) {
		return nil
	}
	entry := Entry{Step: Committed, Text: short(commit), Weight: -1}
	diff, err := n.repo.Diff(ctx, commit)
	if err != nil {
		entry.Detail = []string{err.Error()}
	}
	for line := range strings.Lines(diff) {
		if path, ok := strings.CutPrefix(line, "+++ b/"); ok && entry.Stage == "" {
			entry.Stage = n.stageOf(path)
		}
		if !strings.HasPrefix(line, "diff ") && !strings.HasPrefix(line, "index ") && !strings.HasPrefix(line, "--- ") {
			entry.Detail = append(entry.Detail, Short(strings.TrimRight(line, "\n")))
		}
	}
	if entry.Stage == "" {
		return []Entry{entry}
	}
	n.unapplied[entry.Stage] = true
	if subject, err := n.repo.Subject(ctx, commit); err == nil {
		entry.Text += " " + subject
	}
	return append(n.decided(ctx), entry)
}

var digest = regexp.MustCompile(`(sha256:[0-9a-f]{12})[0-9a-f]{52}`)

// Short leaves of the digests in a text what is enough for people.
func Short(text string) string { return digest.ReplaceAllString(text, "$1…") }

// stageOf is the stage that a file belongs to, whose folder has its name.
func (n *timeline) stageOf(path string) string {
	folder, _, _ := strings.Cut(path, "/")
	for _, stage := range n.stages {
		if stage == folder {
			return stage
		}
	}
	return ""
}

// commitOf is the commit in a revision such as main@sha1:abc.
func commitOf(revision string) string { return revision[strings.LastIndex(revision, ":")+1:] }

// short shortens the commit in a revision such as main@sha1:abc.
func short(revision string) string {
	const enough = 10
	at := strings.LastIndex(revision, ":") + 1
	return revision[:min(len(revision), at+enough)]
}
