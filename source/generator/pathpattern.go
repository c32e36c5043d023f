// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Output is an artifact to make.
type Output struct {
	generatorv1.OutputArtifact
	// Labels are what spec.pathPattern has captured.
	Labels map[string]string
}

// maxOutputs bounds the artifacts that a spec.pathPattern makes.
const maxOutputs = 1000

// Expand are the artifacts of a spec. With a spec.pathPattern these are its artifacts once for each
// directory that matches, of those of the source that the pattern names. Errors are [ErrInvalid],
// or [ErrContent] if another directory would do.
func Expand(spec *generatorv1.ArtifactGeneratorSpec, dirs []string) ([]Output, error) {
	if spec.PathPattern == "" {
		outputs := make([]Output, 0, len(spec.OutputArtifacts))
		for _, artifact := range spec.OutputArtifacts {
			outputs = append(outputs, Output{OutputArtifact: artifact})
		}
		return outputs, nil
	}
	_, matcher, err := compilePathPattern(spec.PathPattern)
	if err != nil {
		return nil, err
	}
	if lengthOf(dirs)*len(matcher.String()) > maxWork {
		return nil, expandError(spec, "comparing so many directories with it takes too long: make it shorter")
	}
	var outputs []Output
	madeFor := map[string]string{}
	for _, dir := range dirs {
		found := matcher.FindStringSubmatch(dir)
		if found == nil {
			continue
		}
		names, labels := map[string]string{}, map[string]string{}
		for i, name := range matcher.SubexpNames() {
			if name == "" {
				continue
			}
			names[name], labels[name] = found[i], strings.ToLower(found[i])
			if problems := validation.IsValidLabelValue(labels[name]); len(problems) > 0 {
				return nil, expandError(spec, "directory '%s': {%s} is no value of a label: %s", dir, name, strings.Join(problems, "; "))
			}
		}
		for _, artifact := range spec.OutputArtifacts {
			output, err := render(artifact, names, labels)
			if err != nil {
				return nil, err
			}
			if problems := apivalidation.NameIsDNSSubdomain(output.Name, false); len(problems) > 0 {
				return nil, expandError(spec, "directory '%s': artifact name '%s': %s", dir, output.Name, strings.Join(problems, "; "))
			}
			if other, twice := madeFor[output.Name]; twice {
				return nil, expandError(spec, "directories '%s' and '%s' both make an artifact '%s'", other, dir, output.Name)
			}
			if madeFor[output.Name] = dir; len(madeFor) > maxOutputs {
				return nil, expandError(spec, "it makes more than %d artifacts", maxOutputs)
			}
			outputs = append(outputs, output)
		}
	}
	return outputs, nil
}

// lengthOf is how many bytes paths have together.
func lengthOf(paths []string) (sum int) {
	for _, name := range paths {
		sum += len(name)
	}
	return sum
}

func expandError(spec *generatorv1.ArtifactGeneratorSpec, format string, args ...any) error {
	return fmt.Errorf("%w: pathPattern '%s': %s", ErrContent, spec.PathPattern, fmt.Sprintf(format, args...))
}

// captureName is what may stand in braces.
var captureName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// compilePathPattern returns the source that a spec.pathPattern is about, and what its directories have to match.
func compilePathPattern(text string) (alias string, matcher *regexp.Regexp, err error) {
	fail := func(err error) (string, *regexp.Regexp, error) {
		return "", nil, fmt.Errorf("%w: pathPattern '%s': %w", ErrInvalid, text, err)
	}
	alias, rest, ok := reference(text)
	if !ok {
		return fail(errors.New("it is no '@alias/path'"))
	}
	var expression strings.Builder
	seen := map[string]bool{}
	err = parseTemplate(strings.TrimSuffix(rest, "/"), func(literal string) error {
		expression.WriteString(regexp.QuoteMeta(literal))
		return nil
	}, func(name string) error {
		if problems := validation.IsQualifiedName(name); len(problems) > 0 {
			return fmt.Errorf("{%s} is no name of a label: %s", name, strings.Join(problems, "; "))
		}
		if seen[name] {
			return fmt.Errorf("{%s} is there twice", name)
		}
		seen[name] = true
		expression.WriteString(`(?P<` + name + `>[^/]+)`)
		return nil
	})
	if err != nil {
		return fail(err)
	}
	if matcher, err = regexp.Compile(`^(?s:` + expression.String() + `)$`); err != nil {
		return fail(err)
	}
	return alias, matcher, nil
}

// render puts what was captured into an artifact: in small letters into its name, and as it is into its copies.
func render(artifact generatorv1.OutputArtifact, names, labels map[string]string) (Output, error) {
	out := Output{OutputArtifact: artifact, Labels: labels}
	var err error
	if out.Name, err = fill(artifact.Name, labels); err != nil {
		return Output{}, err
	}
	out.Copy = slices.Clone(artifact.Copy)
	for i := range out.Copy {
		if out.Copy[i].From, err = fill(artifact.Copy[i].From, names); err != nil {
			return Output{}, err
		}
		if out.Copy[i].To, err = fill(artifact.Copy[i].To, names); err != nil {
			return Output{}, err
		}
	}
	return out, nil
}

// fill puts values in place of {names}.
func fill(template string, values map[string]string) (string, error) {
	var filled strings.Builder
	err := parseTemplate(template, func(literal string) error {
		filled.WriteString(literal)
		return nil
	}, func(name string) error {
		value, ok := values[name]
		if !ok {
			return fmt.Errorf("{%s} is not in pathPattern, which has %v", name, slices.Sorted(maps.Keys(values)))
		}
		filled.WriteString(value)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("%w: '%s': %w", ErrInvalid, template, err)
	}
	return filled.String(), nil
}

// parseTemplate calls literal and capture for the parts of a text with {names} in it, in order.
func parseTemplate(text string, literal, capture func(string) error) error {
	for text != "" {
		at := strings.IndexAny(text, "{}")
		if at < 0 {
			return literal(text)
		}
		if text[at] == '}' {
			return errors.New("a brace is closed that was not opened")
		}
		name, rest, closed := strings.Cut(text[at+1:], "}")
		switch {
		case !closed:
			return errors.New("a brace is not closed")
		case !captureName.MatchString(name):
			return fmt.Errorf("'{%s}' is no name of letters, digits and underscores", name)
		}
		if err := literal(text[:at]); err != nil {
			return err
		}
		if err := capture(name); err != nil {
			return err
		}
		text = rest
	}
	return nil
}
