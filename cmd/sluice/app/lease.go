// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"
)

// lease is the name of the leader election lease.
const lease = "sluice-controller"

// leaseFlags say how replicas agree on which of them works; the names and the
// defaults are those of Flux's controllers.
type leaseFlags struct {
	release                bool
	duration, renew, retry time.Duration
}

func (f *leaseFlags) register(set *pflag.FlagSet) {
	set.BoolVar(&f.release, "leader-election-release-on-cancel", true,
		"give the lease up when the process ends, so that another replica goes on at once")
	set.DurationVar(&f.duration, "leader-election-lease-duration", 35*time.Second,
		"how long other replicas wait for a leader that says nothing")
	set.DurationVar(&f.renew, "leader-election-renew-deadline", 30*time.Second,
		"how long the leader tries to renew the lease before it gives up")
	set.DurationVar(&f.retry, "leader-election-retry-period", 5*time.Second, "time between two attempts to get or to renew the lease")
}

// validate refuses what would let two replicas lead at once, or none. Retries are
// up to a fifth later than they are said to be.
func (f *leaseFlags) validate() error {
	if f.retry <= 0 || f.renew <= f.retry*6/5 || f.duration <= f.renew {
		return fmt.Errorf("--leader-election-lease-duration must be longer than --leader-election-renew-deadline, and that longer than "+
			"--leader-election-retry-period; they are %s, %s and %s", f.duration, f.renew, f.retry)
	}
	return nil
}

// apply sets the election of a manager up.
func (f *leaseFlags) apply(options *ctrl.Options) {
	options.LeaderElectionID = lease
	options.LeaderElectionReleaseOnCancel = f.release
	options.LeaseDuration, options.RenewDeadline, options.RetryPeriod = &f.duration, &f.renew, &f.retry
}
