// SPDX-License-Identifier: Apache-2.0

package app

import (
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestTheLogOfAStartIsNotDrownedInWatches(t *testing.T) {
	for level, want := range map[zapcore.Level]int{zapcore.InfoLevel: 2, zapcore.DebugLevel: 4} {
		core, lines := observer.New(level)
		log := zap.New(core, quiet(level)).With(zap.String("controller", "canary"))
		log.Info("Starting EventSource")
		log.Named("x").Info("Starting EventSource")
		log.Info("the API server serves all kinds")
		log.Error("Starting EventSource failed")
		if lines.Len() != want {
			t.Errorf("at level %s: %v", level, lines.All())
		}
	}
}
