// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pause is what [Eventually] waits between two checks. It is short, since some states last
// for a moment only; in the course of some two seconds it grows, since tests that look all
// the time keep an API server busier than what they test does.
var pause = wait.Backoff{Duration: 20 * time.Millisecond, Factor: 1.03, Cap: 100 * time.Millisecond, Steps: math.MaxInt}

// Eventually calls check until it returns true, and returns the time that took. The error
// of a timeout says what was waited for and what was last seen.
func Eventually(
	ctx context.Context, what string, timeout time.Duration, check func(context.Context) (bool, string),
) (time.Duration, error) {
	start, seen := time.Now(), ""
	timed, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := pause.DelayFunc().Until(timed, true, true, func(ctx context.Context) (bool, error) {
		var ok bool
		ok, seen = check(ctx)
		return ok, nil
	})
	if err != nil {
		return time.Since(start), fmt.Errorf("%s did not happen within %s; last seen: %s", what, timeout, seen)
	}
	return time.Since(start), nil
}

// MustEventually is [Eventually] with [Patience] in a test, which ends if it never happens.
func MustEventually(t testing.TB, what string, check func(context.Context) (bool, string)) {
	t.Helper()
	if _, err := Eventually(t.Context(), what, Patience, check); err != nil {
		t.Fatal(err)
	}
}

// True is a check for [MustEventually] of what says no more than whether it is so.
func True(check func() bool) func(context.Context) (bool, string) {
	return func(context.Context) (bool, string) { return check(), "not so" }
}

// MustSucceed calls do until it returns no error, or else ends the test with the last one.
func MustSucceed(t testing.TB, do func(context.Context) error) {
	t.Helper()
	MustEventually(t, "success", func(ctx context.Context) (bool, string) {
		err := do(ctx)
		return err == nil, fmt.Sprint(err)
	})
}

// MustBecome reads an object until check is true of it, or else ends the test with its last state.
// An object that is gone stays what was read last, and one that is yet to come what it is.
func MustBecome(t testing.TB, c client.Reader, obj client.Object, what string, check func() bool) {
	t.Helper()
	MustEventually(t, what, func(ctx context.Context) (bool, string) {
		err := c.Get(ctx, client.ObjectKeyFromObject(obj), obj)
		if client.IgnoreNotFound(err) != nil {
			return false, err.Error()
		}
		state, _ := json.Marshal(obj)
		return check(), fmt.Sprintf("%s (%v)", state, err)
	})
}
