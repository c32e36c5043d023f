package build

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/fluxcd/pkg/envsubst"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/yaml"
)

// substituteKey is the label or annotation that exempts an object.
const substituteKey = "kustomize.toolkit.fluxcd.io/substitute"

// Substitution replaces ${variables} in built objects, with the functions of
// bash that envsubst knows.
type Substitution struct {
	// Values by variable name. Line breaks are removed, as upstream does.
	Values map[string]string
	// Secret are values that no error may show.
	Secret []string
	// Always substitutes even without values, for the sake of defaults.
	Always bool
}

// variable is what a name of a variable may look like.
var variable = regexp.MustCompile(`^[_[:alpha:]][_[:alpha:][:digit:]]*$`)

// appliesTo reports whether res takes part; a nil Substitution applies to none.
func (s *Substitution) appliesTo(res *resource.Resource) bool {
	if s == nil || (len(s.Values) == 0 && !s.Always) {
		return false
	}
	return res.GetLabels()[substituteKey] != "disabled" && res.GetAnnotations()[substituteKey] != "disabled"
}

// replace substitutes in a JSON object. It does so in its YAML form, where a
// value may turn out to be a number or a boolean.
func (s *Substitution) replace(object []byte) ([]byte, error) {
	for name := range s.Values {
		if !variable.MatchString(name) {
			return nil, fmt.Errorf("variable name %q is invalid, must match %s", name, variable)
		}
	}
	text, err := yaml.JSONToYAML(object)
	if err != nil {
		return nil, err
	}
	out, err := envsubst.Eval(string(text), func(name string) (string, bool) {
		return strings.ReplaceAll(s.Values[name], "\n", ""), true
	})
	if err != nil {
		return nil, s.mask(fmt.Errorf("substituting variables: %w", err))
	}
	data, err := yaml.YAMLToJSON([]byte(out))
	if err != nil {
		return nil, s.mask(fmt.Errorf("substituting variables: %w", err))
	}
	return data, nil
}

// mask hides secret values in an error's text.
func (s *Substitution) mask(err error) error {
	if s == nil {
		return err
	}
	text := err.Error()
	for _, secret := range s.Secret {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}
