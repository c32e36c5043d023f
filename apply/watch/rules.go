// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/internal/cel"
)

// Failures of [NewRules].
var (
	// ErrExpression says that a health check expression cannot be used.
	ErrExpression = errors.New("invalid health check expression")
	// ErrIgnoreRule says that a rule about ignored fields cannot be used.
	ErrIgnoreRule = errors.New("invalid ignore rule")
)

// Bounds of the expressions of one owner, each of which is parsed when it is reconciled.
const (
	maxExpressions     = 100
	maxExpressionBytes = 32 << 10
)

// Rules are how an owner wants its objects to be read: which expressions tell their
// health, and which fields are not its own. nil is no rules. They do not change.
type Rules struct {
	digest string
	health map[schema.GroupKind]*healthRule
	ignore []compiledIgnoreRule
}

// NewRules returns the rules of health check expressions, and of fields to ignore; nil if
// there are none. The error is [ErrExpression] or [ErrIgnoreRule]; the profile has the names
// of the fields that it is about.
func NewRules(profile *decide.Profile, health []kustomize.CustomHealthCheck, ignore []IgnoreRule) (*Rules, error) {
	if len(health) == 0 && len(ignore) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(struct {
		Health []kustomize.CustomHealthCheck
		Ignore []IgnoreRule
	}{health, ignore})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	r := &Rules{digest: hex.EncodeToString(sum[:16])}
	if r.health, err = healthRules(profile, health); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrExpression, err)
	}
	if r.ignore, err = compileIgnoreRules(profile, ignore); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIgnoreRule, err)
	}
	return r, nil
}

// Digest identifies the rules; "" of none.
func (r *Rules) Digest() string {
	if r == nil {
		return ""
	}
	return r.digest
}

// DigestFor is the digest of the rules if one of them concerns an object of the kind, and
// "" if none does. Two readings of an object with the same digest can be compared.
func (r *Rules) DigestFor(gvk schema.GroupVersionKind, obj metav1.Object) string {
	if r.healthOf(gvk.GroupKind()) == nil && len(r.Ignored(gvk, obj)) == 0 {
		return ""
	}
	return r.digest
}

// healthRule has the expressions of one kind, or of all kinds of a group.
type healthRule struct {
	inProgress, failed, current *cel.Program // all but the last may be nil
}

func (r *Rules) healthOf(kind schema.GroupKind) *healthRule {
	if r == nil {
		return nil
	}
	if rule := r.health[kind]; rule != nil {
		return rule
	}
	return r.health[schema.GroupKind{Group: kind.Group}]
}

// ReadsWhole reports whether the health of an object of a kind depends on more than its
// metadata, which is all that is watched of Secrets and ConfigMaps.
func (r *Rules) ReadsWhole(kind schema.GroupKind) bool {
	return metadataOnly(kind) && r.healthOf(kind) != nil
}

// metadataOnly reports whether only the metadata of a kind is watched: its objects are
// healthy as soon as they exist, and their values are not read.
func metadataOnly(kind schema.GroupKind) bool {
	return kind.Group == "" && (kind.Kind == "Secret" || kind.Kind == "ConfigMap")
}

func healthRules(profile *decide.Profile, checks []kustomize.CustomHealthCheck) (map[schema.GroupKind]*healthRule, error) {
	if err := checkExpressions(profile, checks); err != nil {
		return nil, err
	}
	rules := make(map[schema.GroupKind]*healthRule, len(checks))
	for i, check := range checks {
		gv, err := schema.ParseGroupVersion(check.APIVersion)
		if err != nil {
			return nil, fmt.Errorf("%s[%d].apiVersion: %w", profile.HealthExprsField, i, err)
		}
		kind := schema.GroupKind{Group: gv.Group, Kind: check.Kind}
		if rules[kind] != nil {
			return nil, fmt.Errorf("%s[%d]: there is another entry for %s: write one with all of the conditions",
				profile.HealthExprsField, i, kind)
		}
		rule := &healthRule{}
		for _, e := range []struct {
			name, text string
			to         **cel.Program
		}{
			{"inProgress", check.InProgress, &rule.inProgress},
			{"failed", check.Failed, &rule.failed},
			{"current", check.Current, &rule.current},
		} {
			if e.text == "" && e.name != "current" {
				continue
			}
			if *e.to, err = cel.ParseCondition(e.text); err != nil {
				return nil, fmt.Errorf("%s[%d].%s: %w", profile.HealthExprsField, i, e.name, err)
			}
		}
		rules[kind] = rule
	}
	return rules, nil
}

func checkExpressions(profile *decide.Profile, checks []kustomize.CustomHealthCheck) error {
	count, length := 0, 0
	for _, check := range checks {
		for _, text := range []string{check.InProgress, check.Failed, check.Current} {
			if text != "" {
				count, length = count+1, length+len(text)
			}
		}
	}
	if count > maxExpressions || length > maxExpressionBytes {
		return fmt.Errorf("%s has %d expressions of %d bytes in all; at most %d of %d bytes are read: remove those of kinds "+
			"that the %s does not apply, or move objects of some kinds, with their expressions, to another %s",
			profile.HealthExprsField, count, length, maxExpressions, maxExpressionBytes, profile.Owners.Kind, profile.Owners.Kind)
	}
	return nil
}

// status is the health of an object, in the order of Flux's RFC 9: an object that has not
// seen its own spec yet is in progress, then the first expression that is true counts.
func (h *healthRule) status(u *unstructured.Unstructured) (*status.Result, error) {
	if observed, ok, err := unstructured.NestedInt64(u.Object, "status", "observedGeneration"); ok && err == nil {
		if generation, ok, err := unstructured.NestedInt64(u.Object, "metadata", "generation"); ok && err == nil && observed != generation {
			return &status.Result{Status: status.InProgressStatus}, nil
		}
	}
	for _, e := range []struct {
		condition *cel.Program
		status    status.Status
	}{
		{h.inProgress, status.InProgressStatus}, {h.failed, status.FailedStatus}, {h.current, status.CurrentStatus},
	} {
		if e.condition == nil {
			continue
		}
		if holds, err := e.condition.Holds(u.Object); err != nil {
			return nil, err
		} else if holds {
			return &status.Result{Status: e.status}, nil
		}
	}
	return &status.Result{Status: status.InProgressStatus}, nil
}
