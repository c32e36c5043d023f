// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/internal/lru"
)

// recoveries count how often objects have become Ready after they had failed. Whoever tells
// events on drops one that says the same as one of the last minutes, since what fails is
// tried again and again. What fails again after it had worked is news all the same, in
// whichever words: its events have another token.
type recoveries struct {
	known *lru.Cache[types.UID, recovery]
}

type recovery struct {
	failed bool
	times  int
}

// maxRecoveries bounds the objects that are remembered: those that have failed.
const maxRecoveries = 20_000

func newRecoveries() recoveries {
	return recoveries{lru.NewCounted[types.UID, recovery](maxRecoveries)}
}

// record notes what Ready says by now. Unknown is what it says in between.
func (r recoveries) record(of types.UID, ready metav1.ConditionStatus) {
	last, _ := r.known.Get(of)
	switch {
	case ready == metav1.ConditionFalse && !last.failed:
		r.known.Put(of, recovery{true, last.times})
	case ready == metav1.ConditionTrue && last.failed:
		r.known.Put(of, recovery{false, last.times + 1})
	}
}

// token is that of the events of an object; empty until it has recovered once.
func (r recoveries) token(of types.UID) string {
	if last, _ := r.known.Get(of); last.times > 0 {
		return strconv.Itoa(last.times)
	}
	return ""
}
