// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"slices"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// logs returns what makes the logger of a run, with the values that the framework
// gives its own, since `flux logs` reads them. Most runs say nothing, and for those
// the values are not put into words.
func logs(mgr ctrl.Manager, controller, group, kind string) func(*reconcile.Request) logr.Logger {
	base := mgr.GetLogger().WithValues("controller", controller, "controllerGroup", group, "controllerKind", kind)
	return func(req *reconcile.Request) logr.Logger {
		if req == nil {
			return base
		}
		return logr.New(lazySink{base: base.GetSink(), values: []any{
			kind, klog.KRef(req.Namespace, req.Name), "namespace", req.Namespace, "name", req.Name,
		}})
	}
}

// lazySink is a sink that gives its values to another one only when there is something
// to say.
type lazySink struct {
	base   logr.LogSink
	values []any
}

// Init implements logr.LogSink; the base has been through it.
func (lazySink) Init(logr.RuntimeInfo) {}

// Enabled implements logr.LogSink.
func (l lazySink) Enabled(level int) bool { return l.base.Enabled(level) }

// Info implements logr.LogSink.
func (l lazySink) Info(level int, message string, values ...any) {
	l.base.WithValues(l.values...).Info(level, message, values...)
}

// Error implements logr.LogSink.
func (l lazySink) Error(err error, message string, values ...any) {
	l.base.WithValues(l.values...).Error(err, message, values...)
}

// WithValues implements logr.LogSink.
func (l lazySink) WithValues(values ...any) logr.LogSink {
	l.values = slices.Concat(l.values, values)
	return l
}

// WithName implements logr.LogSink. Values that were given before the name stay
// before it.
func (l lazySink) WithName(name string) logr.LogSink {
	return l.base.WithValues(l.values...).WithName(name)
}
