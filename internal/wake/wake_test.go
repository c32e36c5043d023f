// SPDX-License-Identifier: Apache-2.0

package wake_test

import (
	"context"
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/wake"
	"github.com/sluice-cd/sluice/internal/wake/waketest"
)

func object(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "apps", Name: name}
}

func TestNoWakeIsLostAndNoneBlocks(t *testing.T) {
	s := new(wake.Source)
	const many = 5000 // more than a channel source has room for
	for i := range many {
		s.Wake(object(fmt.Sprint(i))) // no controller reads yet
	}
	woken := waketest.Objects(t, s)
	got := map[types.NamespacedName]bool{}
	for range many {
		got[waketest.Next(t, woken)] = true
	}
	if len(got) != many {
		t.Errorf("%d of %d objects were woken", len(got), many)
	}
	s.Wake(object("late"))
	if next := waketest.Next(t, woken); next != object("late") {
		t.Errorf("got %s", next)
	}
}

func TestAnObjectThatIsWokenTwiceIsReconciledOnce(t *testing.T) {
	s := new(wake.Source)
	s.Wake(object("a"))
	s.Wake(object("a"))
	woken := waketest.Objects(t, s)
	waketest.Next(t, woken)
	s.Wake(object("end"))
	if next := waketest.Next(t, woken); next != object("end") {
		t.Errorf("%s was woken again", next)
	}
}

func TestDependentsAreWokenInsteadOfTheObject(t *testing.T) {
	s := new(wake.Source)
	woken := waketest.Objects(t, s.Map(func(_ context.Context, key types.NamespacedName) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: object("policy-of-" + key.Name)}}
	}))
	s.Wake(object("repository"))
	if next := waketest.Next(t, woken); next != object("policy-of-repository") {
		t.Errorf("got %s", next)
	}
}
