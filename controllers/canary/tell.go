package canary

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// warnings remembers what each canary's owner was told already.
type warnings struct {
	mu   sync.Mutex
	last map[types.UID]string
}

// first reports whether text is news for the canary.
func (w *warnings) first(uid types.UID, text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		w.last = map[types.UID]string{}
	}
	if w.last[uid] == text {
		return false
	}
	w.last[uid] = text
	return true
}

func (w *warnings) forget(uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.last, uid)
}

// warnOnce tells of a mistake that does not keep the canary from working.
func (r *Reconciler) warnOnce(c *flaggerv1.Canary, err error) {
	if r.warnings.first(c.UID, err.Error()) {
		r.recorder.Event(c, reconciler.Event{Type: corev1.EventTypeWarning, Reason: reasonInvalid, Message: err.Error()})
	}
}

// call calls the webhooks of a type.
func (r *Reconciler) call(context.Context, *flaggerv1.Canary, flaggerv1.HookType) canary.Answer {
	return canary.Answer{}
}
