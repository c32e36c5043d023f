// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// checkExtract refuses a template with a group that the pattern does not have, which
// [regexp.Regexp.Expand] would take for an empty text: every tag would be compared by
// less than its author means, or by nothing. The error says which groups there are.
func checkExtract(pattern *regexp.Regexp, template string) error {
	if template == "" {
		return nil
	}
	groups, err := groupsOf(template)
	if err != nil {
		return err
	}
	if len(groups) == 0 {
		return fmt.Errorf("it names no group, so that all tags would be the same; %s", groupsThere(pattern))
	}
	for _, group := range groups {
		if !hasGroup(pattern, group) {
			return fmt.Errorf("the pattern has no group %s; %s%s", group, groupsThere(pattern), closer(pattern, group))
		}
	}
	return nil
}

// groupsOf are the groups that a template names, read as [regexp.Regexp.Expand] reads it:
// $name is as long as it can be, ${name} ends where it says, and $$ is a dollar.
func groupsOf(template string) ([]string, error) {
	var groups []string
	for {
		_, rest, found := strings.Cut(template, "$")
		if !found {
			return groups, nil
		}
		if after, dollar := strings.CutPrefix(rest, "$"); dollar {
			template = after
			continue
		}
		rest, braced := strings.CutPrefix(rest, "{")
		end := strings.IndexFunc(rest, func(r rune) bool { return !isOfName(r) })
		if end < 0 {
			end = len(rest)
		}
		name := rest[:end]
		if rest = rest[end:]; name == "" || braced && !strings.HasPrefix(rest, "}") {
			return nil, fmt.Errorf("a $ has to be followed by the name or the number of a group, as $ts, ${ts} or $1, or by another $")
		}
		groups, template = append(groups, name), rest
	}
}

func isOfName(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' }

// hasGroup reports whether the pattern has a group of that name or number; 0 is the whole
// match. A name of digits is a number, whatever groups are called.
func hasGroup(pattern *regexp.Regexp, group string) bool {
	if onlyDigits(group) {
		n, err := strconv.Atoi(group)
		return err == nil && n <= pattern.NumSubexp() && strconv.Itoa(n) == group
	}
	return slices.Contains(pattern.SubexpNames(), group)
}

// maxGroups bounds how many groups an error lists.
const maxGroups = 10

// groupsThere says which groups a pattern has.
func groupsThere(pattern *regexp.Regexp) string {
	var there []string
	for i, name := range pattern.SubexpNames() {
		switch {
		case i == 0:
		case name == "":
			there = append(there, "$"+strconv.Itoa(i))
		default:
			there = append(there, "$"+name)
		}
	}
	switch n := len(there); {
	case n == 0:
		return "it has none: write one as (?P<ts>...), or take the whole match with $0"
	case n > maxGroups:
		return fmt.Sprintf("it has %s and %d more", strings.Join(there[:maxGroups], ", "), n-maxGroups)
	}
	return "it has " + strings.Join(there, ", ")
}

// closer advises braces where the text behind a group was taken for a part of its name.
func closer(pattern *regexp.Regexp, group string) string {
	for end := len(group) - 1; end > 0; end-- {
		if shorter := group[:end]; hasGroup(pattern, shorter) {
			return fmt.Sprintf(": to have %q follow a group, write ${%s}%s", group[end:], shorter, group[end:])
		}
	}
	return ""
}
