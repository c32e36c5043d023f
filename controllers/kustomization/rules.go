// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"errors"
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-cd/sluice/apply/watch"
	"github.com/sluice-cd/sluice/internal/cel"
)

// errExpression marks a readyExpr that cannot be used.
var errExpression = errors.New("invalid readyExpr")

// maxReadyBytes bounds the expressions about dependencies, which are compiled whenever the
// spec changes.
const maxReadyBytes = 32 << 10

// maxReady is how many of them are evaluated, in a worker, whenever a dependency changes.
const maxReady = 100

// compiled is what of a spec has to be compiled before it can be used: its rules, and the
// expressions about dependencies by their texts.
type compiled struct {
	generation int64
	rules      *watch.Rules
	ready      map[string]*cel.Program
}

// rulesOf returns how k wants its objects to be read.
func (s *state) rulesOf(k *kustomizev1.Kustomization) (*watch.Rules, error) {
	if s.compiled.generation == k.Generation && k.Generation != 0 {
		return s.compiled.rules, nil
	}
	made := compiled{generation: k.Generation, ready: map[string]*cel.Program{}}
	var ignore []watch.IgnoreRule
	for _, rule := range k.Spec.Ignore {
		ignore = append(ignore, watch.IgnoreRule{Paths: rule.Paths, Target: rule.Target})
	}
	var err error
	if made.rules, err = watch.NewRules(profile, k.Spec.HealthCheckExprs, ignore); err != nil {
		return nil, err
	}
	length, count := 0, 0
	for i, dep := range k.Spec.DependsOn {
		if dep.ReadyExpr == "" {
			continue
		}
		if count++; count > maxReady {
			return nil, fmt.Errorf("%w: spec.dependsOn has more than %d of them; let some dependencies depend on others", errExpression, maxReady)
		}
		if length += len(dep.ReadyExpr); length > maxReadyBytes {
			return nil, fmt.Errorf("%w: those of spec.dependsOn have more than %d bytes in all", errExpression, maxReadyBytes)
		}
		if made.ready[dep.ReadyExpr], err = cel.CompileQuickCondition(dep.ReadyExpr, "self", "dep"); err != nil {
			return nil, fmt.Errorf("%w: spec.dependsOn[%d]: %w", errExpression, i, err)
		}
	}
	s.compiled = made
	return made.rules, nil
}

// notReady says why a dependency is not ready by an expression; "" when it is.
func (s *state) notReady(expression string, k, dep *kustomizev1.Kustomization) string {
	self, err := runtime.DefaultUnstructuredConverter.ToUnstructured(k)
	if err != nil {
		return err.Error()
	}
	of, err := runtime.DefaultUnstructuredConverter.ToUnstructured(dep)
	if err != nil {
		return err.Error()
	}
	ready, err := s.compiled.ready[expression].Holds(map[string]any{"self": self, "dep": of})
	switch {
	case err != nil:
		return "is not ready: " + err.Error()
	case !ready:
		return "is not ready according to readyExpr eval"
	}
	return ""
}
