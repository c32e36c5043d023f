// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"fmt"
	"regexp"

	"github.com/sluice-cd/sluice/internal/pattern"
)

// versionGroup is the group of a regular expression that is replaced.
const versionGroup = "version"

// maxWork bounds what matching a file may take: about two seconds at worst, see
// package pattern.
const maxWork = 20 * pattern.Light

// textFormat finds a field of any text by a regular expression.
type textFormat struct {
	pattern pattern.Pattern
	group   int
}

// RegexField is what the group "version" of a regular expression matches. There has
// to be one such group, and one match in the file.
func RegexField(expression string, part Part) (Field, error) {
	compiled, err := pattern.Compile(expression)
	if err != nil {
		return Field{}, fmt.Errorf("regex %q: %w", expression, err)
	}
	f := textFormat{pattern: compiled}
	for i, name := range compiled.SubexpNames() {
		switch {
		case name != versionGroup:
		case f.group > 0:
			return Field{}, fmt.Errorf("regex %q has two groups named version, and may have one", expression)
		default:
			f.group = i
		}
	}
	if f.group == 0 {
		return Field{}, fmt.Errorf("regex %q has no group named version: write (?P<version>...) around what is replaced", expression)
	}
	return Field{format: f, targets: []target{{part: part, name: "regex " + expression}}}, nil
}

// sopsText are the checksums of SOPS in .env and INI files.
var sopsText = regexp.MustCompile(`(?m)^(sops_mac[ \t]*=|\[sops\])`)

func (textFormat) encrypted(content []byte) bool {
	return sopsText.Match(content) || encrypted(content) || jsonFormat{}.encrypted(content)
}

// read finds the match, which is the place of the only target.
func (f textFormat) read(content []byte, _ []target) fileValues {
	return fileValues{places: []valueLocation{f.find(content)}}
}

func (f textFormat) find(content []byte) valueLocation {
	if int64(f.pattern.Size)*int64(len(content)) > maxWork {
		return valueLocation{why: TooMuchWork}
	}
	matches := f.pattern.FindAllSubmatchIndex(content, 2)
	switch len(matches) {
	case 0:
		return valueLocation{why: NoMatch}
	case 1:
	default:
		return valueLocation{why: ManyMatches}
	}
	start, end := matches[0][2*f.group], matches[0][2*f.group+1]
	if start < 0 {
		return valueLocation{why: NoMatch} // by another branch, without the group
	}
	number := lineOf(content, start)
	return valueLocation{value: string(content[start:end]), span: span{start: start, end: end, node: number, last: number}}
}

func (textFormat) write(_ span, value string) (string, Reason) {
	if !isPrintable(value) {
		return "", Unsupported
	}
	return value, ""
}

// onlyChanged cannot be asked of a text that nobody parses: the bytes of the group
// were replaced.
func (textFormat) onlyChanged(_, _ fileValues, _ []MarkerResult) bool { return true }
