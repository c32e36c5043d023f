// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"testing"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// A person who may edit a pipeline, and no more, wrote an approval before the policy was
// installed. It counted as soon as that was.
func TestACommandThatWasWrittenBeforeCommandsWereGuarded(t *testing.T) {
	s := newSimulation(t, staging(), with(production(), func(s *sluicev1.Stage) { s.Approval = &sluicev1.Approval{} }))
	s.settle()
	s.release("2")
	s.settle()
	s.guarded = false
	s.command(sluicev1.CommandApprove, "production")
	s.settle()
	s.guarded = true
	s.pass(time.Hour)
	s.want(map[string]string{"staging": "2", "production": "1"})
	s.command(sluicev1.CommandApprove, "production")
	s.settle()
	s.want(map[string]string{"staging": "2", "production": "2"})
}
