// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// stages are those of the pipelines that carry the policy of the lane.
func (c *chain) stages() []LaneStage {
	found := []LaneStage{}
	for _, p := range c.pipelinesOfPolicy() {
		for _, spec := range p.Spec.Stages {
			stage := c.stage(p, statusOf(p, spec.Name))
			stage.Remedies = remediesOf(p, &spec, stage.State)
			stage.Here = c.isJudgedIn(p, &spec)
			found = append(found, stage)
		}
	}
	return found
}

// remediesOf are what a person can do about a stage that needs one.
func remediesOf(p *sluicev1.Pipeline, spec *sluicev1.Stage, state CellState) []Remedy {
	if state != CellFailed && state != CellWaiting {
		return nil
	}
	s := statusOf(p, spec.Name)
	return remedies(p, PipelineStage{StageStatus: s, PassedOver: passedOver(p, spec, s)})
}

// stageStates are what the phases of a stage mean to who looks at a lane.
var stageStates = map[sluicev1.StagePhase]CellState{
	"": CellUnknown, sluicev1.StageEmpty: CellReady, sluicev1.StageVerified: CellReady, sluicev1.StageVerifying: CellMoving,
	sluicev1.StageWriting: CellMoving, sluicev1.StageRollingBack: CellMoving, sluicev1.StageWaiting: CellWaiting,
	sluicev1.StageProposed: CellWaiting, sluicev1.StageHeld: CellWaiting, sluicev1.StageFailed: CellFailed,
}

// stage reports a stage of a pipeline that carries the policy of the lane.
func (c *chain) stage(p *sluicev1.Pipeline, s sluicev1.StageStatus) LaneStage {
	found := LaneStage{Pipeline: p.Name, Namespace: p.Namespace, Name: s.Name, Phase: s.Phase, State: stageState(s), Message: s.Message}
	found.Has, found.Wants = c.versionIn(p, s.Has), c.versionIn(p, s.Wants)
	if found.Wants == found.Has {
		found.Wants = ""
	}
	found.Since = timeOf(s.Since)
	found.WaitingSince = waitingSince(p, s)
	if found.State == CellFailed {
		found.Retry = "with the next version, or when somebody ends the quarantine"
	}
	for _, gate := range s.Waiting {
		if stageStates[s.Phase] == CellWaiting && (found.Message == "" || gate.Type == sluicev1.GateApproval) {
			found.Message, found.WaitingSince = gate.Message, timeOf(gate.Since)
		}
	}
	return found
}

// waitingSince is since when a stage waits for what its message says, or has failed; nil if that is not known. It is not since when
// it has its version, which may have been there for long before anything was waited for.
func waitingSince(p *sluicev1.Pipeline, s sluicev1.StageStatus) *time.Time {
	if s.Phase == sluicev1.StageFailed {
		if q := quarantineOf(p, bundleID(s.Has)); q != nil && q.Stage == s.Name {
			return &q.At.Time
		}
		return nil
	}
	if s.Phase == sluicev1.StageHeld && s.Hold != nil {
		return &s.Hold.At.Time
	}
	for _, gate := range s.Waiting {
		if s.Phase != sluicev1.StageProposed || gate.Type == sluicev1.GateReview {
			return timeOf(gate.Since)
		}
	}
	return nil
}

func timeOf(t *metav1.Time) *time.Time {
	if t == nil {
		return nil
	}
	return &t.Time
}

// stageState is what the phase of a stage means to who looks at it. A clock or a stage before it is nothing that anybody
// has to do something about.
func stageState(s sluicev1.StageStatus) CellState {
	state := stageStates[s.Phase]
	if state == CellWaiting && waitsForNobody(s.Waiting) {
		return CellMoving
	}
	return state
}

// versionIn is the version of the policy's image in a bundle, in a word.
func (c *chain) versionIn(p *sluicev1.Pipeline, bundle *sluicev1.Bundle) string {
	if bundle == nil {
		return ""
	}
	for _, artifact := range p.Spec.Artifacts {
		for _, v := range bundle.Versions {
			if artifact.ImagePolicyRef != nil && artifact.ImagePolicyRef.Name == c.policy.Name && v.Artifact == artifact.Name {
				return cmp.Or(v.Tag, shortArtifact(v.Digest))
			}
		}
	}
	return ""
}

// patientGates open without a person.
var patientGates = map[sluicev1.GateType]bool{
	sluicev1.GateUpstream: true, sluicev1.GateSoak: true, sluicev1.GateVerdict: true, sluicev1.GateWindow: true, sluicev1.GateFreeze: true,
}

func waitsForNobody(gates []sluicev1.Gate) bool {
	for _, g := range gates {
		if !patientGates[g.Type] {
			return false
		}
	}
	return len(gates) > 0
}
