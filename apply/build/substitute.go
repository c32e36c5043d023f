// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/envsubst"
	"github.com/fluxcd/pkg/envsubst/parse"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/sluice-cd/sluice/internal/mask"
)

const (
	// substituteKey is the label or annotation that exempts an object.
	substituteKey = "kustomize.toolkit.fluxcd.io/substitute"
	disabled      = "disabled"
)

// ErrVariable says that an object uses a variable that has neither a value nor a
// default.
var ErrVariable = errors.New("has no value and no default")

// Substitution replaces ${variables} in built objects, with the functions of
// bash that envsubst knows.
type Substitution struct {
	// Values by variable name. Line breaks are removed, as upstream does.
	Values map[string]string
	// Secret are values that no error may show.
	Secret []string
	// Lenient lets a variable without value and default stand for nothing.
	Lenient bool
	// Always substitutes even without values, for the sake of defaults.
	Always bool
}

// variable is what a name of a variable may look like.
var variable = regexp.MustCompile(`^[_[:alpha:]][_[:alpha:][:digit:]]*$`)

// Mask hides the secret values. It is nil if there are none.
func (s *Substitution) Mask() *mask.Mask {
	if s == nil || len(s.Secret) == 0 {
		return nil
	}
	return mask.New(s.Secret...)
}

// check refuses names that no variable can have.
func (s *Substitution) check() error {
	if s == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(s.Values)) {
		if !variable.MatchString(name) {
			return fmt.Errorf("variable name %q is invalid, must match %s: rename it in spec.postBuild.substitute, "+
				"or the key in a ConfigMap or Secret of spec.postBuild.substituteFrom", name, variable)
		}
	}
	return nil
}

// appliesTo reports whether res takes part; a nil Substitution applies to none.
func (s *Substitution) appliesTo(res *resource.Resource) bool {
	if s == nil || (len(s.Values) == 0 && !s.Always) {
		return false
	}
	return res.GetLabels()[substituteKey] != disabled && res.GetAnnotations()[substituteKey] != disabled
}

// value is what a variable stands for.
func (s *Substitution) value(name string) (string, bool) {
	value, ok := s.Values[name]
	return strings.ReplaceAll(value, "\n", ""), ok || s.Lenient
}

// replace substitutes in a JSON object. It does so in its YAML form, where a
// value may turn out to be a number or a boolean. As in Flux since 2.9, a variable
// without value or default is an error: an empty string in its place is a host name
// or a path that nobody wanted.
func (s *Substitution) replace(object []byte, bounds Bounds) ([]byte, error) {
	text, err := yaml.JSONToYAML(object)
	if err != nil {
		return nil, err
	}
	if err := s.bound(string(text), bounds); err != nil {
		return nil, fmt.Errorf("substituting variables: %w", err)
	}
	var missing string
	lookup := func(name string) (string, bool) {
		value, ok := s.value(name)
		if !ok {
			missing = name
		}
		return value, ok
	}
	out, err := envsubst.Eval(string(text), lookup)
	if err != nil && strings.Contains(err.Error(), "variable not set") {
		return nil, fmt.Errorf("substituting variables: variable not set (strict mode): %[1]q %[2]w; set it in spec.postBuild, "+
			"give it a default as in ${%[1]s:=default}, write $${%[1]s} to keep it, or exempt the object with %[3]s: %[4]s",
			missing, ErrVariable, substituteKey, disabled)
	}
	if err != nil {
		return nil, fmt.Errorf("substituting variables%s: %w; write $${ for a ${ that begins no variable",
			fieldWith(err, string(text), lookup), err)
	}
	if _, err := bounds.weigh([]byte(out), unboundedMemory{}); err != nil { // a value may bring aliases
		return nil, fmt.Errorf("substituting variables: %w", err)
	}
	data, err := yaml.YAMLToJSON([]byte(out))
	if err != nil {
		return nil, fmt.Errorf("substituting variables: %w", err)
	}
	return data, nil
}

// fieldWith names the field by which a substitution fails, which is not said by envsubst;
// "" if that is in no single line.
func fieldWith(failure error, text string, lookup func(string) (string, bool)) string {
	for line := range strings.Lines(text) {
		key, _, keyed := strings.Cut(line, ":")
		if !keyed || strings.Contains(key, "$") || !strings.Contains(line, "$") {
			continue
		}
		if _, err := envsubst.Eval(line, lookup); err != nil && err.Error() == failure.Error() {
			return " of the field " + strings.Trim(strings.TrimSpace(key), "- ")
		}
	}
	return ""
}

const (
	// maxBraces is how deep variables are nested in defaults of variables, and
	// maxDollars how many there may be in an object: envsubst calls itself for each.
	maxBraces, maxDollars = 1000, 100_000
	// maxTrimmed is how long a value may be from which a pattern is cut off, since
	// every length is tried.
	maxTrimmed = 16 << 10
)

// bound refuses an object that would be too large with its variables replaced.
func (s *Substitution) bound(text string, b Bounds) error {
	if !strings.Contains(text, "${") {
		return nil
	}
	if strings.Count(text, "$") > maxDollars {
		return tooLarge(maxDollars, "variables in one object", "use fewer")
	}
	depth := 0
	for i := range len(text) {
		switch {
		case text[i] == '}':
			depth = max(depth-1, 0)
		case text[i] == '{' && i > 0 && text[i-1] == '$':
			if depth++; depth > maxBraces {
				return tooLarge(maxBraces, "variables inside of one another", "use fewer")
			}
		}
	}
	tree, err := parse.Parse(text)
	if err != nil {
		return nil // it is parsed again, and then it is an error
	}
	n, err := s.most(tree.Root, b)
	if err == nil && n > b.Substituted {
		err = tooLarge(b.Substituted, "bytes in an object with its variables replaced", "use shorter values")
	}
	return err
}

// most is how many bytes a part of a template becomes at most.
func (s *Substitution) most(node parse.Node, b Bounds) (int64, error) {
	switch node := node.(type) {
	case *parse.TextNode:
		return int64(len(node.Value)), nil
	case *parse.ListNode:
		return s.sum(node.Nodes, b)
	case *parse.FuncNode:
		arguments, err := s.sum(node.Args, b)
		if err != nil {
			return 0, err
		}
		value, _ := s.value(node.Param)
		n := int64(len(value))
		switch node.Name {
		case "#", "##", "%", "%%":
			if len(node.Args) > 0 && n > maxTrimmed {
				return 0, tooLarge(maxTrimmed, "bytes in a value from which a pattern is cut off", "use a shorter value")
			}
		case "/", "//", "/#", "/%":
			if arguments > 0 && n+1 > b.Substituted/arguments {
				return b.Substituted + 1, nil
			}
			return n + (n+1)*arguments, nil
		}
		return 3*n + arguments, nil // changing the case can make a character longer
	}
	return 0, nil
}

func (s *Substitution) sum(nodes []parse.Node, b Bounds) (total int64, err error) {
	for _, node := range nodes {
		n, err := s.most(node, b)
		if err != nil {
			return 0, err
		}
		if total += n; total > b.Substituted {
			return total, nil
		}
	}
	return total, nil
}

// unboundedMemory is memory that nobody counts.
type unboundedMemory struct{}

func (unboundedMemory) Grow(int64) error { return nil }
func (unboundedMemory) Shrink(int64)     {}
