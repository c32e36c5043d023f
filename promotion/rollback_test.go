// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"testing"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// A Kustomization that waits for a Canary fails at once with the version of before: the Canary
// still tells of the one that failed.
func TestARollbackIsNotJudgedByWhatFailedBeforeIt(t *testing.T) {
	s := newSimulation(t, staging(), production())
	s.settle()
	s.release("2")
	s.verification["production/@2"] = VerificationFailed
	s.ready["production/@1"] = ReadinessFailed
	s.settle()
	s.want(map[string]string{"production": "1"})
	s.pass(time.Minute)
	delete(s.ready, "production/@1")
	s.settle()
	s.want(map[string]string{"production": "1"})
	if phase := s.status("production").Phase; phase != sluicev1.StageVerified {
		t.Errorf("production is %s", phase)
	}
}

func TestARollbackIsNotRolledBack(t *testing.T) {
	s := newSimulation(t, staging())
	s.settle()
	s.release("1.5")
	s.settle()
	s.verification["staging/@2"], s.verification["staging/@1.5"] = VerificationFailed, VerificationFailed
	s.release("2")
	s.pass(time.Hour)
	s.want(map[string]string{"staging": "1.5"})
	if got := s.status("staging").Phase; got != sluicev1.StageFailed {
		t.Errorf("phase %s", got)
	}
}
