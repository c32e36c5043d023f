// SPDX-License-Identifier: Apache-2.0

package app

import (
	"log/slog"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/go-logr/logr"
)

// memoryRatio is the part of the container's memory up to which the garbage collector
// lets the heap grow. The rest is for what the Go runtime does not count, such as page
// tables.
const memoryRatio = 0.9

// limitMemory sets GOMEMLIMIT from the limit of the process's control group, unless it
// is set already, so that garbage is collected before the kernel kills the process.
// Outside of a container there is no limit.
func limitMemory(log logr.Logger) {
	logger := slog.New(logr.ToSlogHandler(log.V(1)))
	if _, err := memlimit.Set(memlimit.WithRatio(memoryRatio), memlimit.WithLogger(logger)); err != nil {
		log.V(1).Info("no memory limit is known, set GOMEMLIMIT", "reason", err.Error())
	}
}
