// SPDX-License-Identifier: Apache-2.0

package router

import (
	"fmt"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// supported is a router that is asked only for what its provider has. One that ignored
// a field would send users where their owner did not want them.
type supported struct {
	Router
	provider provider.Provider
}

// Supports implements [Router].
func (r supported) Supports(c *flaggerv1.Canary) error {
	if field, path, ok := r.provider.Unsupported(c); ok {
		return terminal("%s: not supported by provider %s%s", path, r.provider.Name, onlyBy(provider.With(field)))
	}
	if ref, ok := r.provider.Missing(c); ok {
		return terminal("spec.%s: provider %s needs the %s that users come through; name it", ref.Path, r.provider.Name, ref.Kind)
	}
	return r.Router.Supports(c)
}

func onlyBy(providers []string) string {
	if len(providers) == 0 {
		return "; remove it"
	}
	return ", only by " + strings.Join(providers, ", ") + "; remove it"
}

// fieldSetting is a field below some other, and whether a canary sets it.
type fieldSetting struct {
	field string
	set   bool
}

// checkMirror refuses a share of requests that there is not.
func checkMirror(c *flaggerv1.Canary) error {
	if a := c.Spec.Analysis; a != nil && (a.MirrorWeight < 0 || a.MirrorWeight > 100) {
		return terminal("spec.analysis.mirrorWeight: %d is not a percentage", a.MirrorWeight)
	}
	return nil
}

// terminal is an error about the canary's spec: only an edit of it helps.
func terminal(format string, args ...any) error {
	return reconcile.TerminalError(fmt.Errorf(format, args...))
}
