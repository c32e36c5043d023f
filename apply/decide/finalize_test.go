// SPDX-License-Identifier: Apache-2.0

package decide

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-cd/sluice/apply/inventory"
)

func TestWhatADeletionDoesNext(t *testing.T) {
	deleted := Termination{Since: now.Add(-30 * time.Second), Deleted: []inventory.Entry{entry("a")}}
	announced := deleted
	announced.Announced = true
	late := announced
	late.Since = now.Add(-time.Minute)
	remaining := func(left ...string) *Remaining { return &Remaining{Left: left} }
	broken := errors.New("broken")
	tests := map[string]struct {
		seen func(*Deletion)
		prev Termination

		want        FinalizeAction
		wantState   Termination
		wantFailure string
		wantType    string
		wantMessage string
	}{
		"objects that stay are not looked at": {seen: func(d *Deletion) { d.Policy, d.Account = KeepObjects, "ns/robot" }},
		"an empty inventory needs no account": {seen: func(d *Deletion) { d.Inventory, d.Account = nil, "ns/robot" }},
		"what names no object is still told":  {seen: func(d *Deletion) { d.Inventory, d.Malformed = nil, []string{"x"} }, want: PruneAll},
		"an account is looked for first":      {seen: func(d *Deletion) { d.Account = "ns/robot" }, want: CheckAccount},
		"an account that cannot be looked for": {
			seen: func(d *Deletion) { d.Account, d.Err = "ns/robot", broken }, wantFailure: "broken",
		},
		"an account that is gone leaves its objects": {
			seen:     func(d *Deletion) { d.Account, d.AccountState = "ns/robot", AccountMissing },
			wantType: corev1.EventTypeWarning, wantMessage: "unable to prune, service account ns/robot is gone:\nConfigMap/ns/a",
		},
		"an account that exists": {seen: func(d *Deletion) { d.Account, d.AccountState = "ns/robot", AccountExists }, want: PruneAll},
		"the controller itself":  {seen: func(*Deletion) {}, want: PruneAll},
		"a failed prune is tried again": {
			seen: func(d *Deletion) { d.Pruned, d.Err, d.Deleted = true, broken, []inventory.Entry{entry("a")} }, wantFailure: "broken",
		},
		"a prune without a wait": {
			seen:      func(d *Deletion) { d.Pruned, d.Deleted = true, []inventory.Entry{entry("a")} },
			wantState: Termination{Since: now, Deleted: []inventory.Entry{entry("a")}},
		},
		"a prune with one": {
			seen: func(d *Deletion) {
				d.Policy, d.Pruned, d.Deleted = AwaitTermination, true, []inventory.Entry{entry("a")}
			},
			want: CheckRemaining, wantState: Termination{Since: now, Deleted: []inventory.Entry{entry("a")}},
		},
		"nothing is pruned twice": {
			seen: func(d *Deletion) { d.Policy = AwaitTermination }, prev: deleted, want: CheckRemaining, wantState: deleted,
		},
		"nothing is left": {
			seen: func(d *Deletion) { d.Policy, d.Remaining = AwaitTermination, remaining() }, prev: deleted, wantState: deleted,
		},
		"the wait is told": {
			seen: func(d *Deletion) { d.Policy, d.Remaining = AwaitTermination, remaining("x", "y") }, prev: deleted,
			wantState: announced, wantFailure: "waiting for the termination of x, y",
			wantType: corev1.EventTypeNormal, wantMessage: "waiting for the termination of x, y",
		},
		"the wait is told once": {
			seen: func(d *Deletion) { d.Policy, d.Remaining = AwaitTermination, remaining("x") }, prev: announced,
			wantState: announced, wantFailure: "waiting for the termination of x",
		},
		"what is left is not known yet": {
			seen: func(d *Deletion) { d.Policy, d.Remaining = AwaitTermination, &Remaining{Err: broken} }, prev: deleted,
			wantState: deleted, wantFailure: "broken",
		},
		"the time is over": {
			seen: func(d *Deletion) { d.Policy, d.Remaining = AwaitTermination, remaining("x", "y") }, prev: late, wantState: late,
			wantType: corev1.EventTypeWarning, wantMessage: "failed to wait for resources termination: timeout waiting for: [x, y]",
		},
		"the time is over, and what is left is not known": {
			seen: func(d *Deletion) { d.Policy, d.Remaining = AwaitTermination, &Remaining{Err: broken} }, prev: late, wantState: late,
			wantType: corev1.EventTypeWarning, wantMessage: "failed to wait for resources termination: broken",
		},
		"nothing is left when the time is over": {
			seen: func(d *Deletion) { d.Policy, d.Remaining = AwaitTermination, remaining() }, prev: late, wantState: late,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			seen := Deletion{Policy: DeleteObjects, Timeout: time.Minute, Inventory: []inventory.Entry{entry("a")}}
			tc.seen(&seen)
			got := Finalize(seen, tc.prev, now)
			if got.Action != tc.want || got.EventType != tc.wantType || got.Message != tc.wantMessage {
				t.Errorf("action %d, event %s %q; want %d, %s %q", got.Action, got.EventType, got.Message, tc.want, tc.wantType, tc.wantMessage)
			}
			failure := ""
			if got.Failure != nil {
				failure = got.Failure.Err.Error()
			}
			if failure != tc.wantFailure {
				t.Errorf("failure %q, want %q", failure, tc.wantFailure)
			}
			if diff := cmp.Diff(tc.wantState, got.State); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyATerminationIsPending(t *testing.T) {
	seen := Deletion{
		Policy: AwaitTermination, Timeout: time.Minute, Inventory: []inventory.Entry{entry("a")},
		Remaining: &Remaining{Left: []string{"x"}},
	}
	waits := Finalize(seen, Termination{Since: now}, now).Failure
	if waits == nil || waits.Retry != RetryPending || waits.After != UnwatchedInterval {
		t.Errorf("a wait is %+v", waits)
	}
	seen.Err = errors.New("broken")
	if failed := Finalize(seen, Termination{}, now).Failure; failed == nil || failed.Retry != RetrySoon {
		t.Errorf("a failed prune is %+v", failed)
	}
}
