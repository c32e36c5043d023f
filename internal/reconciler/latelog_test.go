// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// loud is a manager that has nothing but a logger.
type loud struct {
	ctrl.Manager
	logger logr.Logger
}

func (l loud) GetLogger() logr.Logger { return l.logger }

func TestALineOfARunHasWhatFluxLogsReads(t *testing.T) {
	var out bytes.Buffer
	logger := logs(loud{logger: zap.New(zap.WriteTo(&out), zap.JSONEncoder())}, "app", "apps.example.com", "App")(
		&reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "apps", Name: "podinfo"}})
	logger = logger.WithValues("reconcileID", "1")
	logger.V(5).Info("not for everybody")
	logger.Info("said", "more", 2)
	logger.WithName("part").Error(errors.New("broken"), "failed")
	lines := json.NewDecoder(&out)
	for _, want := range []map[string]any{
		{"msg": "said", "level": "info", "more": 2.0},
		{"msg": "failed", "level": "error", "logger": "part", "error": "broken"},
	} {
		var got map[string]any
		if err := lines.Decode(&got); err != nil {
			t.Fatal(err)
		}
		for key, value := range map[string]any{
			"controller": "app", "controllerGroup": "apps.example.com", "controllerKind": "App", "reconcileID": "1",
			"App": map[string]any{"name": "podinfo", "namespace": "apps"}, "name": "podinfo", "namespace": "apps",
		} {
			want[key] = value
		}
		delete(got, "ts")
		delete(got, "stacktrace")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if lines.More() {
		t.Error("it said more than it should")
	}
}

func TestARunThatSaysNothingMakesNoLogger(t *testing.T) {
	var out bytes.Buffer
	made := Options{}.controller(logs(loud{
		logger: zap.New(zap.WriteTo(&out), zap.JSONEncoder()),
	}, "app", "apps.example.com", "App"), nil).LogConstructor
	req := &reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "apps", Name: "podinfo"}}
	if n := testing.AllocsPerRun(100, func() { made(req).WithValues("reconcileID", "1").V(1).Info("quiet") }); n > 10 {
		t.Errorf("%v allocations", n)
	}
}
