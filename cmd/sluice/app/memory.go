package app

import (
	"log/slog"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// memoryRatio is the part of the container's memory that the collector may let the
// process use: what the runtime does not count, such as stacks of C and the page
// tables, needs some of it, too.
const memoryRatio = 0.9

// limitMemory tells the collector of the limit of the process's control group, unless
// GOMEMLIMIT says otherwise, so that garbage is collected before the kernel ends the
// process. A machine without a limit is none.
func limitMemory(log logr.Logger) {
	logger := slog.New(logr.ToSlogHandler(log.V(1)))
	if _, err := memlimit.Set(memlimit.WithRatio(memoryRatio), memlimit.WithLogger(logger)); err != nil {
		log.V(1).Info("no memory limit is known, set GOMEMLIMIT", "reason", err.Error())
	}
}

// withoutContents drops what the caches need not keep. kubectl repeats the contents
// of Secrets and ConfigMaps in an annotation, which would be held in memory with the
// metadata that is watched.
func withoutContents() toolscache.TransformFunc {
	strip := cache.TransformStripManagedFields()
	return func(in any) (any, error) {
		if object, err := apimeta.Accessor(in); err == nil {
			delete(object.GetAnnotations(), corev1.LastAppliedConfigAnnotation)
		}
		return strip(in)
	}
}
