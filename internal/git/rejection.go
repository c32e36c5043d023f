// SPDX-License-Identifier: Apache-2.0

package git

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/sluice-cd/sluice/internal/git/protocol"
	"github.com/sluice-cd/sluice/internal/mask"
)

// maxReasons bounds what is said of a rejected push: an event has room for 1024 bytes,
// the repository's URL among them.
const maxReasons = 700

// rejection words what a server and its hooks said of a push. Nobody but the server
// knows why it refuses one, so all of it is told, without credentials and without the
// ornaments of banners.
func (c *connection) rejection(report *protocol.Report) string {
	var lines []string
	for _, ref := range slices.Sorted(maps.Keys(report.Refused)) {
		lines = append(lines, report.Refused[ref])
	}
	slices.Sort(lines)
	lines = append(slices.Compact(lines), strings.FieldsFunc(report.Said, func(r rune) bool { return r == '\n' || r == '\r' })...)
	var kept []string
	seen := map[string]bool{}
	for _, line := range lines {
		line = c.plainConcealed(line)
		if !seen[line] && !progress.MatchString(line) {
			seen[line] = true
			kept = append(kept, line)
		}
	}
	return shortenedIn(kept, func(line string) string { return summary(line, maxReasons) })
}

// plainConcealed is a plain line without credentials, which are looked for first: one
// may end in what frames are drawn with. What stands in their place looks like a frame.
func (c *connection) plainConcealed(line string) string {
	line = colours.ReplaceAllString(line, "")
	concealed := strings.TrimSpace(c.conceal(line))
	if concealed == strings.TrimSpace(line) {
		return plain(line)
	}
	text := plain(concealed)
	if strings.HasPrefix(concealed, mask.Hidden) {
		text = mask.Hidden + " " + text
	}
	if strings.HasSuffix(concealed, mask.Hidden) && text != mask.Hidden+" " {
		text += mask.Hidden
	}
	return strings.TrimSpace(text)
}

var (
	// colours are the escape sequences of terminals.
	colours = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
	// progress is what servers say of a push whatever comes of it.
	progress = regexp.MustCompile(`(?i)^(?:resolving deltas|unpacking objects|counting objects|` +
		`compressing objects|receiving objects|processing changes)\b.*$|^$`)
)

// plain is a line without colours and without the frame around it; "" if it is all
// frame.
func plain(line string) string {
	line = strings.TrimSpace(colours.ReplaceAllString(line, ""))
	line = strings.TrimSpace(strings.TrimPrefix(line, "remote:"))
	item := strings.HasPrefix(line, "- ")
	line = strings.TrimFunc(line, isFrame)
	if line == "" || strings.IndexFunc(line, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) < 0 {
		return ""
	}
	if item {
		return "- " + line
	}
	return line
}

// isFrame reports what lines are drawn with.
func isFrame(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune("*#=|+~_-!>", r) || r >= 0x2500 && r <= 0x259f || r == '—' || r == '–' || r == '•'
}

// telling are words of lines that say why.
var telling = regexp.MustCompile(`(?i)error|reject|den(?:y|ied)|declin|fail|refus|must|requir|need|` +
	`not allowed|cannot|violat|forbid|prohibit|protect|secret|invalid|missing|\bno\b|\b[A-Z]{2,}[-_]?\d+|^- `)

// shortenedIn joins lines. Of too many, those that say why stay, and then those at the
// beginning and the end: banners come before a reason, and the reason's own list after
// its title.
func shortenedIn(lines []string, word func(string) string) string {
	for i := range lines {
		lines[i] = word(lines[i])
	}
	if text := strings.Join(lines, " "); len(text) <= maxReasons {
		return text
	}
	var why []string
	for i, line := range lines {
		if i == 0 || telling.MatchString(line) {
			why = append(why, line)
		}
	}
	text := strings.Join(why, " ")
	if len(text) <= maxReasons {
		return text
	}
	const head = maxReasons / 2
	start, end := strings.ToValidUTF8(text[:head], ""), strings.ToValidUTF8(text[len(text)-(maxReasons-head):], "")
	return start + " [...] " + end
}
