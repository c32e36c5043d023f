// SPDX-License-Identifier: Apache-2.0

package app

import (
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// quietCore leaves out what controller-runtime says of each of its watches at a start:
// dozens of lines with addresses of functions, among which those of a person's concern
// are not seen.
type quietCore struct{ zapcore.Core }

// startingWatch begins such a line.
const startingWatch = "Starting EventSource"

// quiet is an option that makes a logger quiet, unless its level is debug.
func quiet(level zapcore.Level) zap.Option {
	return zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		if level <= zapcore.DebugLevel {
			return core
		}
		return quietCore{core}
	})
}

// With implements zapcore.Core.
func (c quietCore) With(fields []zapcore.Field) zapcore.Core { return quietCore{c.Core.With(fields)} }

// Check implements zapcore.Core.
func (c quietCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if strings.HasPrefix(entry.Message, startingWatch) && entry.Level == zapcore.InfoLevel {
		return checked
	}
	return c.Core.Check(entry, checked)
}
