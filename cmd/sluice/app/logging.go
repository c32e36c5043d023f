// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"

	"go.uber.org/zap/zapcore"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// setLogger writes lines with the keys that `flux logs` reads.
func setLogger(level, encoding string) error {
	parsed, err := zapcore.ParseLevel(level)
	if err != nil {
		return fmt.Errorf("--log-level: %w", err)
	}
	encoder, err := logEncoder(encoding)
	if err != nil {
		return err
	}
	ctrl.SetLogger(zap.New(zap.Opts(encoder(func(c *zapcore.EncoderConfig) {
		c.TimeKey, c.LevelKey, c.MessageKey = "ts", "level", "msg"
		c.EncodeTime = zapcore.RFC3339NanoTimeEncoder
		c.StacktraceKey = zapcore.OmitKey
	})), zap.Level(parsed), zap.RawZapOpts(quiet(parsed))))
	return nil
}

// logEncoder returns the encoder that --log-encoding names.
func logEncoder(name string) (func(...zap.EncoderConfigOption) func(*zap.Options), error) {
	switch name {
	case "json":
		return zap.JSONEncoder, nil
	case "console":
		return zap.ConsoleEncoder, nil
	}
	return nil, fmt.Errorf("--log-encoding: must be json or console, is %q", name)
}
