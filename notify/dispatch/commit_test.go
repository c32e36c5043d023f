// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"errors"
	"testing"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/notify/outbox"
)

// As many expressions of a namespace were evaluated at once as it has deliveries, twenty times
// a second, each for some tenths of a second.
func TestOneExpressionOfANamespaceIsEvaluatedAtATime(t *testing.T) {
	d := &Dispatcher{evaluations: background.NewSlots(maxEvaluations, 1)}
	of := func(namespace string) *v1beta3.Provider {
		p := &v1beta3.Provider{}
		p.Namespace, p.Spec.CommitStatusExpr = namespace, "'a' + 'b'"
		return p
	}
	if err := d.evaluations.Acquire(t.Context(), "busy"); err != nil {
		t.Fatal(err)
	}
	hurried, cancel := context.WithCancel(t.Context())
	cancel()
	var later *outbox.Temporary
	if _, err := d.evaluate(hurried, of("busy"), nil); !errors.As(err, &later) {
		t.Errorf("got %v", err)
	}
	if value, err := d.evaluate(t.Context(), of("other"), nil); value != "ab" || err != nil {
		t.Errorf("got %v, %v", value, err)
	}
	d.evaluations.Release("busy")
	if value, err := d.evaluate(t.Context(), of("busy"), nil); value != "ab" || err != nil {
		t.Errorf("got %v, %v", value, err)
	}
}
