// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/report"
)

const (
	laneCommit = "0123456789012345678901234567890123456789"
	laneImage  = "registry.example.com/apps/podinfo"
)

// status is a condition Ready.
func status(is metav1.ConditionStatus, reason, message string) []metav1.Condition {
	return []metav1.Condition{{Type: meta.ReadyCondition, Status: is, Reason: reason, Message: message,
		LastTransitionTime: metav1.Unix(1000, 0)}}
}

func metaOf(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

// released is the whole way of podinfo 1.2.0, which users have.
func released() report.Objects {
	ready := status(metav1.ConditionTrue, "Succeeded", "all is well")
	ref := imagev1.ImageRef{Name: laneImage, Tag: "1.2.0"}
	o := report.Objects{
		Repositories: []imagev1.ImageRepository{{ObjectMeta: metaOf("flux-system", "podinfo")}},
		Policies:     []imagev1.ImagePolicy{{ObjectMeta: metaOf("flux-system", "podinfo")}},
		Automations:  []imagev1.ImageUpdateAutomation{{ObjectMeta: metaOf("flux-system", "fleet")}},
		Sources: []report.Source{{Kind: sourcev1.GitRepositoryKind, ObjectMeta: metaOf("flux-system", "fleet"), Conditions: ready,
			Artifact: &meta.Artifact{Revision: "main@sha1:" + laneCommit, LastUpdateTime: metav1.Unix(3000, 0)}}},
		Kustomizations: []kustomizev1.Kustomization{{ObjectMeta: metaOf("flux-system", "apps")}},
		Canaries:       []flaggerv1.Canary{{ObjectMeta: metaOf("apps", "podinfo")}},
		Workloads: []report.Workload{
			{Kind: "Deployment", Namespace: "apps", Name: "podinfo", Images: []string{"registry.example.com/proxy:1", laneImage + ":1.2.0"},
				Kustomization: metaOf("flux-system", "apps")},
			{Kind: "Deployment", Namespace: "apps", Name: "podinfo-primary", Primary: true, Wanted: 2, Updated: 2, Available: 2,
				Images: []string{"registry.example.com/proxy:1", laneImage + ":1.2.0"}},
		},
	}
	o.Repositories[0].Spec.Image, o.Repositories[0].Status.Conditions = laneImage, ready
	p := &o.Policies[0]
	p.Spec.ImageRepositoryRef.Name, p.Status.LatestRef, p.Status.Conditions = "podinfo", &ref, ready
	seen := metav1.Unix(1500, 0)
	p.Status.Decision = &imagev1.Decision{Candidates: []imagev1.Candidate{{Tag: "1.2.0", FirstSeen: &seen}}}
	p.Status.LatestRefTime = &metav1.Time{Time: time.Unix(1700, 0)}
	a := &o.Automations[0]
	a.Spec.SourceRef.Kind, a.Spec.SourceRef.Name = sourcev1.GitRepositoryKind, "fleet"
	pushed := metav1.Unix(2000, 0)
	a.Status.LastPushCommit, a.Status.LastPushTime, a.Status.Conditions = laneCommit, &pushed, ready
	a.Status.ObservedPolicies = imagev1.ObservedPolicies{"podinfo": ref}
	k := &o.Kustomizations[0]
	k.Spec.SourceRef = kustomizev1.CrossNamespaceSourceReference{Kind: sourcev1.GitRepositoryKind, Name: "fleet"}
	k.Spec.RetryInterval = &metav1.Duration{Duration: time.Minute}
	k.Status.LastAppliedRevision, k.Status.Conditions = "main@sha1:"+laneCommit, ready
	k.Status.History = meta.History{{LastReconciledStatus: meta.ReconciliationSucceededReason, FirstReconciled: metav1.Unix(3500, 0),
		LastReconciled: metav1.Unix(9000, 0), Metadata: map[string]string{"revision": k.Status.LastAppliedRevision}}}
	c := &o.Canaries[0]
	c.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "podinfo"}
	c.Status.Phase = flaggerv1.CanaryPhaseSucceeded
	return o
}

// unlisted says of a kind in a namespace that it may not be listed.
func unlisted(kind, namespace string) func(kind, namespace string) string {
	return func(k, n string) string {
		if k == kind && n == namespace {
			return "you may not list it"
		}
		return ""
	}
}

// TestLanes changes one thing about an application that is live, and looks at its lane: a word for each cell.
func TestLanes(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*report.Objects)
		want   string
		says   string // by the cell that the lane is about, and since which second
	}{
		"all is well": {func(*report.Objects) {},
			"image 1.2.0 ready, policy 1.2.0 ready, commit 0123456 ready, source 0123456 ready, apply 0123456 ready, " +
				"canary Succeeded ready, live 1.2.0 ready: ready", ""},
		"a better tag is too young": {func(o *report.Objects) {
			o.Policies[0].Status.Decision.Candidates = []imagev1.Candidate{
				{Tag: "1.3.0", Dropped: "is younger than 10m", FirstSeen: &metav1.Time{Time: time.Unix(5000, 0)}}, {Tag: "1.2.0"}}
		}, "image 1.3.0 ready, policy 1.2.0 waiting, commit", "1.3.0 is younger than 10m, 5000"},
		"a chosen tag is to be written": {func(o *report.Objects) { o.Policies[0].Status.LatestRef.Tag = "1.3.0" },
			"policy 1.3.0 ready, commit 0123456 moving, source", "to write 1.3.0, 1700"},
		"a commit is to be fetched": {func(o *report.Objects) {
			o.Automations[0].Status.LastPushCommit = "fedcba9"
			later := metav1.Unix(4000, 0)
			o.Automations[0].Status.LastPushTime = &later
		}, "commit fedcba9 ready, source 0123456 moving, apply 0123456 ready", "to fetch fedcba9, 4000"},
		"others pushed after us": {func(o *report.Objects) { o.Automations[0].Status.LastPushCommit = "fedcba9" },
			"commit fedcba9 ready, source 0123456 ready", ""},
		"a revision is to be applied": {func(o *report.Objects) { o.Kustomizations[0].Status.LastAppliedRevision = "main@sha1:fedcba9876" },
			"source 0123456 ready, apply fedcba9 moving, canary", "to apply 0123456, 3000"},
		"a build fails": {func(o *report.Objects) {
			o.Kustomizations[0].Status.Conditions = status(metav1.ConditionFalse, "BuildFailed", "accumulating resources")
		}, "apply 0123456 failed, canary Succeeded ready, live 1.2.0 ready: failed", "accumulating resources, within 1 min"},
		"a spec is refused": {func(o *report.Objects) {
			k := &o.Kustomizations[0]
			k.Status.Conditions = append(status(metav1.ConditionFalse, "InvalidSpec", "spec.path"),
				metav1.Condition{Type: meta.StalledCondition, Status: metav1.ConditionTrue})
		}, "apply 0123456 failed, canary", "spec.path, not before the object changes"},
		"it depends on what is not ready": {func(o *report.Objects) {
			o.Kustomizations[0].Status.Conditions = status(metav1.ConditionFalse, meta.DependencyNotReadyReason, "waits for infra")
		}, "apply 0123456 waiting, canary", "waits for infra"},
		"a controller has not looked yet": {func(o *report.Objects) { o.Kustomizations[0].Status.Conditions = nil },
			"apply 0123456 unknown, canary", "no controller has looked at it yet"},
		"suspended": {func(o *report.Objects) { o.Kustomizations[0].Spec.Suspend = true },
			"apply 0123456 suspended, canary", "spec.suspend is true"},
		"the source is gone": {func(o *report.Objects) { o.Sources = nil },
			"source failed, apply 0123456 ready", "GitRepository flux-system/fleet, which Kustomization apps names, is not there"},
		"the source may not be listed": {func(o *report.Objects) { // was called failed, and not there
			o.Sources, o.WhyUnlisted = nil, unlisted("GitRepository", "flux-system")
		}, "source unknown, apply 0123456 ready, canary Succeeded ready, live 1.2.0 ready: unknown",
			"GitRepository flux-system/fleet: you may not list it"},
		"sources of another namespace may not be listed": {func(o *report.Objects) {
			o.Sources, o.WhyUnlisted = nil, unlisted("GitRepository", "elsewhere")
		}, "source failed, apply 0123456 ready", "is not there"},
		"the repository may not be listed": {func(o *report.Objects) {
			o.Repositories, o.WhyUnlisted = nil, unlisted("ImageRepository", "flux-system")
		}, "image unknown, policy 1.2.0 ready", "ImageRepository flux-system/podinfo: you may not list it"},
		"the Kustomization may not be listed": {func(o *report.Objects) {
			o.Kustomizations, o.WhyUnlisted = nil, unlisted("Kustomization", "flux-system")
		}, "source none, apply unknown, canary Succeeded ready", "Kustomization flux-system/apps: you may not list it"},
		"the canary has some users": {func(o *report.Objects) {
			o.Canaries[0].Status.Phase, o.Canaries[0].Status.CanaryWeight = flaggerv1.CanaryPhaseProgressing, 20
		}, "canary 20 % moving, live 1.2.0 ready: moving", ""},
		"a gate is closed": {func(o *report.Objects) {
			o.Canaries[0].Status.Phase = flaggerv1.CanaryPhaseWaitingPromotion
			o.Canaries[0].Status.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldGate, Gate: flaggerv1.ConfirmPromotionHook}
		}, "canary WaitingPromotion waiting, live", "held: confirm-promotion"},
		"it was rolled back": {func(o *report.Objects) { o.Canaries[0].Status.Phase = flaggerv1.CanaryPhaseFailed },
			"canary Failed failed, live 1.2.0 ready: failed", ""},
		"users have an earlier version": {func(o *report.Objects) { o.Workloads[1].Images[1] = laneImage + ":1.1.0" },
			"canary Succeeded ready, live 1.1.0 ready: ready, 1.2.0 of " + laneImage + " is coming", ""},
		"pods come": {func(o *report.Objects) { o.Workloads[1].Updated = 1 },
			"live 1.2.0 moving", "1 of 2 pods updated, 2 available"},
		"no pod answers": {func(o *report.Objects) { o.Workloads[1].Available = 0 }, "live 1.2.0 failed", "no pod is available"},
		"a rollout is stuck": {func(o *report.Objects) {
			o.Workloads[1].Stuck, o.Workloads[1].Since = "quota exceeded", &metav1.Time{Time: time.Unix(6000, 0)}
		}, "live 1.2.0 failed", "quota exceeded, by Kubernetes, ever less often, 6000"},
		"a reverted update is held": {func(o *report.Objects) {
			o.Automations[0].Status.Held = []imagev1.HeldUpdate{
				{Policy: "podinfo", Ref: imagev1.ImageRef{Name: laneImage, Tag: "1.2.0"}, Since: metav1.Unix(7000, 0)}}
		}, "commit 0123456 waiting", "release automation fleet -n flux-system`, 7000"},
		"a pull request is open": {func(o *report.Objects) {
			o.Automations[0].Status.PullRequest = &imagev1.PullRequestStatus{Number: 7, State: imagev1.PullRequestOpen}
		}, "commit 0123456 waiting", "pull request #7"},
		"nothing chooses its image": {func(o *report.Objects) { o.Policies, o.Repositories, o.Automations = nil, nil, nil },
			"image none, policy none, commit none, source 0123456 ready, apply 0123456 ready, canary Succeeded ready, live 1 ready: ready", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := released()
			test.change(&o)
			lanes := report.Lanes(o).Items
			if len(lanes) != 1 || lanes[0].Key != "Deployment/apps/podinfo" {
				t.Fatalf("lanes %+v", lanes)
			}
			var words, says []string
			for _, cell := range lanes[0].Cells {
				words = append(words, strings.Join(strings.Fields(fmt.Sprint(cell.Column, " ", cell.Value, " ", cell.State)), " "))
				if cell.Column == lanes[0].Column {
					said := strings.Trim(cell.Message+", "+cell.Retry, ", ")
					if cell.Since != nil {
						said += fmt.Sprintf(", %d", cell.Since.Unix())
					}
					says = append(says, said)
				}
			}
			got := strings.Join(words, ", ") + ": " + string(lanes[0].State)
			if lanes[0].Coming != "" {
				got += ", " + lanes[0].Coming + " of " + lanes[0].Image + " is coming"
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("got %s\nwant %s", got, test.want)
			}
			if test.says != "" && !strings.Contains(strings.Join(says, ""), test.says) {
				t.Errorf("says %q, want %q", says, test.says)
			}
		})
	}
}

// Policy, Apply and mostly Image were as old as the condition Ready, which stays as it is from one version to the next.
func TestACellIsAsOldAsItsValueAndNotAsItsObject(t *testing.T) {
	moved := metav1.Unix(1234, 0)
	for name, tc := range map[string]struct {
		change func(*report.Objects)
		column report.Column
		want   int64 // 0 is not known
	}{
		"an image since a scan found it":                          {func(*report.Objects) {}, report.ColumnImage, 1500},
		"a choice since it was made":                              {func(*report.Objects) {}, report.ColumnPolicy, 1700},
		"a commit since it was pushed":                            {func(*report.Objects) {}, report.ColumnCommit, 2000},
		"a revision since it was fetched":                         {func(*report.Objects) {}, report.ColumnSource, 3000},
		"what was built of a revision since it was first applied": {func(*report.Objects) {}, report.ColumnApply, 3500},
		"an image of which no scan tells": {func(o *report.Objects) {
			o.Policies[0].Status.Decision.Candidates[0].FirstSeen = nil
		}, report.ColumnImage, 0},
		"tags of which none was chosen": {func(o *report.Objects) {
			o.Policies[0].Status.Decision = nil
			o.Repositories[0].Status.LastScanResult = &imagev1.ScanResult{TagCount: 3, ScanTime: metav1.Unix(9000, 0)}
		}, report.ColumnImage, 0},
		"a choice of before its time was noted": {func(o *report.Objects) { o.Policies[0].Status.LatestRefTime = nil }, report.ColumnPolicy, 0},
		"a revision that changed nothing of what was built": {func(o *report.Objects) {
			o.Kustomizations[0].Status.History[0].FirstReconciled = metav1.Unix(2900, 0)
		}, report.ColumnApply, 0},
		"a revision of which the history does not tell": {func(o *report.Objects) {
			o.Kustomizations[0].Status.History[0].Metadata = nil
		}, report.ColumnApply, 0},
		"one that failed last": {func(o *report.Objects) {
			o.Kustomizations[0].Status.History[0].LastReconciledStatus = meta.HealthCheckFailedReason
		}, report.ColumnApply, 0},
		"one of a source that is not known": {func(o *report.Objects) { o.Sources = nil }, report.ColumnApply, 0},
		"a failure since it is one": {func(o *report.Objects) {
			o.Repositories[0].Status.Conditions = status(metav1.ConditionFalse, "ReadOperationFailed", "connection refused")
		}, report.ColumnImage, 1000},
		"a run since it began": {func(o *report.Objects) {
			o.Kustomizations[0].Status.Conditions = append(slices.Clone(o.Kustomizations[0].Status.Conditions),
				metav1.Condition{Type: meta.ReconcilingCondition, Status: metav1.ConditionTrue, LastTransitionTime: moved})
		}, report.ColumnApply, 1234},
		"nothing since it was suspended": {func(o *report.Objects) { o.Policies[0].Spec.Suspend = true }, report.ColumnPolicy, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := released()
			tc.change(&o)
			cells := report.Lanes(o).Items[0].Cells
			cell := cells[slices.IndexFunc(cells, func(c report.Cell) bool { return c.Column == tc.column })]
			if got := cell.Since; (got == nil) != (tc.want == 0) || got != nil && got.Unix() != tc.want {
				t.Errorf("since %v, want %d: %+v", got, tc.want, cell)
			}
		})
	}
}

// When it is tried again was said of what has an interval alone: not of Canaries, stages, workloads, and policies without one.
func TestWhatFailedSaysWhenItIsTriedAgain(t *testing.T) {
	refused := status(metav1.ConditionFalse, "Failed", "refused")
	stalled := append(slices.Clone(refused), metav1.Condition{Type: meta.StalledCondition, Status: metav1.ConditionTrue})
	for want, change := range map[string]func(*report.Objects){
		"policy with the next scan": func(o *report.Objects) { o.Policies[0].Status.Conditions = refused },
		"policy within 10 min": func(o *report.Objects) {
			o.Policies[0].Spec.Interval, o.Policies[0].Status.Conditions = &metav1.Duration{Duration: 10 * time.Minute}, refused
		},
		"policy not before the object changes": func(o *report.Objects) { o.Policies[0].Status.Conditions = stalled },
		"source by who writes it":              func(o *report.Objects) { o.Sources[0].Conditions = refused },
		"source as soon as it is there":        func(o *report.Objects) { o.Sources = nil },
		"apply within 1 min":                   func(o *report.Objects) { o.Kustomizations[0].Status.Conditions = refused },
		"live by Kubernetes, ever less often":  func(o *report.Objects) { o.Workloads[1].Available = 0 },
		"canary within 30 s": func(o *report.Objects) {
			o.Canaries[0].Spec.Analysis = &flaggerv1.CanaryAnalysis{Interval: "30s"}
			o.Canaries[0].SetConditions(refused)
		},
		"canary within 1 min":                  func(o *report.Objects) { o.Canaries[0].SetConditions(refused) },
		"canary not before the object changes": func(o *report.Objects) { o.Canaries[0].SetConditions(stalled) },
		"canary not before Deployment podinfo changes, or somebody retries": func(o *report.Objects) {
			o.Canaries[0].Status.Phase, o.Canaries[0].Status.LastAppliedSpec = flaggerv1.CanaryPhaseFailed, "sha256:new"
		},
		"canary not before Deployment podinfo changes": func(o *report.Objects) { // has the promoted revision again
			s := &o.Canaries[0].Status
			s.Phase, s.LastAppliedSpec, s.LastPromotedSpec = flaggerv1.CanaryPhaseFailed, "sha256:old", "sha256:old"
		},
		"production with the next version, or when somebody ends the quarantine": func(o *report.Objects) {
			p := sluicev1.Pipeline{ObjectMeta: metaOf("flux-system", "podinfo")}
			p.Spec.Artifacts = []sluicev1.Artifact{{Name: "podinfo", ImagePolicyRef: &meta.LocalObjectReference{Name: "podinfo"}}}
			p.Spec.Stages = []sluicev1.Stage{{Name: "production"}}
			p.Status.Stages = []sluicev1.StageStatus{{Name: "production", Phase: sluicev1.StageFailed}}
			o.Pipelines = []sluicev1.Pipeline{p}
		},
	} {
		t.Run(want, func(t *testing.T) {
			o := released()
			change(&o)
			lane := report.Lanes(o).Items[0]
			var got []string
			for _, cell := range lane.Cells {
				if cell.State == report.CellFailed || cell.Retry != "" {
					got = append(got, string(cell.Column)+" "+cell.Retry)
				}
			}
			for _, stage := range lane.Stages {
				got = append(got, stage.Name+" "+stage.Retry)
			}
			if diff := cmp.Diff([]string{want}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The workload that a Canary releases was in no cell: what happened to it was in no timeline.
func TestTheTargetOfACanaryIsAmongTheObjectsOfItsLane(t *testing.T) {
	target := report.ObjectReference{Kind: "Deployment", Namespace: "apps", Name: "podinfo"}
	objects := report.Lanes(released()).Items[0].Objects()
	if !slices.Contains(objects, target) || len(objects) != 8 {
		t.Errorf("got %v", objects)
	}
	o := released()
	o.Canaries = nil
	for _, lane := range report.Lanes(o).Items {
		if lane.Target != nil {
			t.Errorf("%s has another target than what users reach: %v", lane.Key, lane.Target)
		}
	}
}

// TestWhichLanes are shown, and in which order.
func TestWhichLanes(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*report.Objects)
		want   string
	}{
		"a workload of nobody is left out": {func(o *report.Objects) {
			o.Workloads = append(o.Workloads,
				report.Workload{Kind: "Deployment", Namespace: "kube-system", Name: "coredns", Images: []string{"coredns:1"}})
		}, "Deployment/apps/podinfo"},
		"a Kustomization without a workload has a lane": {func(o *report.Objects) {
			o.Kustomizations = append(o.Kustomizations, kustomizev1.Kustomization{ObjectMeta: metaOf("flux-system", "infra")})
		}, "Kustomization/flux-system/infra Deployment/apps/podinfo"}, // its source is not there: it comes first
		"a policy that no workload has the image of": {func(o *report.Objects) { o.Workloads, o.Canaries = nil, nil },
			"ImagePolicy/flux-system/podinfo"},
		"a canary without its target": {func(o *report.Objects) { o.Workloads = nil },
			"Canary/apps/podinfo ImagePolicy/flux-system/podinfo"},
		"what is suspended and may be forgotten comes before what is ready": {func(o *report.Objects) {
			o.Canaries = append(o.Canaries, flaggerv1.Canary{ObjectMeta: metaOf("apps", "zoo"),
				Spec: flaggerv1.CanarySpec{TargetRef: flaggerv1.LocalObjectReference{Kind: "StatefulSet", Name: "zoo"}, Suspend: true}})
			o.Workloads = append(o.Workloads, report.Workload{Kind: "StatefulSet", Namespace: "apps", Name: "zoo", Images: []string{laneImage}})
		}, "StatefulSet/apps/zoo Deployment/apps/podinfo"},
		"what failed comes first": {func(o *report.Objects) {
			o.Workloads = append(o.Workloads,
				report.Workload{Kind: "StatefulSet", Namespace: "apps", Name: "zoo", Images: []string{laneImage}, Wanted: 1},
				report.Workload{Kind: "DaemonSet", Namespace: "apps", Name: "agent", Images: []string{laneImage}})
		}, "StatefulSet/apps/zoo DaemonSet/apps/agent Deployment/apps/podinfo"},
	} {
		t.Run(name, func(t *testing.T) {
			o := released()
			test.change(&o)
			var keys []string
			for _, lane := range report.Lanes(o).Items {
				keys = append(keys, lane.Key)
			}
			if got := strings.Join(keys, " "); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestAPolicyOfStrangersForTheSameImageTakesNoLane: it took those of all who run the image, if its name came first.
func TestAPolicyOfStrangersForTheSameImageTakesNoLane(t *testing.T) {
	stranger := func(o *report.Objects, tag string) {
		p := *o.Policies[0].DeepCopy()
		p.Namespace, p.Status.LatestRef.Tag = "a-team", tag
		p.Spec.ImageRepositoryRef.Namespace = ""
		o.Policies = append([]imagev1.ImagePolicy{p}, o.Policies...)
	}
	policyOf := func(o report.Objects, key string) string {
		for _, lane := range report.Lanes(o).Items {
			if object := lane.Cells[1].Object; lane.Key == key && object != nil {
				return object.Namespace + "/" + object.Name
			}
		}
		return ""
	}
	tag := released().Policies[0].Status.LatestRef.Tag
	for name, tc := range map[string]struct {
		change func(*report.Objects)
		want   string
	}{
		"the lane has an automation": {func(o *report.Objects) { stranger(o, tag) }, "flux-system/podinfo"},
		"the lane is a stage of a Pipeline": {func(o *report.Objects) {
			o.Automations = nil
			k := o.Kustomizations[0]
			p := sluicev1.Pipeline{ObjectMeta: metaOf("flux-system", "podinfo")}
			p.Spec.Artifacts = []sluicev1.Artifact{{Name: "podinfo", ImagePolicyRef: &meta.LocalObjectReference{Name: "podinfo"}}}
			p.Spec.Stages = []sluicev1.Stage{{Name: "production", Ready: []sluicev1.ReadyReference{
				{Kind: "Kustomization", Namespace: k.Namespace, Name: k.Name},
			}}}
			o.Pipelines = []sluicev1.Pipeline{p}
			stranger(o, tag)
		}, "flux-system/podinfo"},
		"nothing leads from a policy to the lane": {func(o *report.Objects) { o.Automations = nil }, ""},
		"the policy is of the namespace of the lane": {func(o *report.Objects) {
			o.Automations = nil
			o.Policies[0].Namespace = "apps"
		}, "apps/podinfo"},
	} {
		t.Run(name, func(t *testing.T) {
			o := released()
			tc.change(&o)
			if got := policyOf(o, "Deployment/apps/podinfo"); got != tc.want {
				t.Errorf("the lane has the policy %q, want %q", got, tc.want)
			}
		})
	}
}

// TestOfSeveralPoliciesTheOneThatIsWrittenToTheSource is that of a lane.
func TestOfSeveralPoliciesTheOneThatIsWrittenToTheSource(t *testing.T) {
	o := released()
	other := *o.Policies[0].DeepCopy()
	other.Name, other.Status.LatestRef.Tag = "a-nightly", "1.2.0"
	o.Policies = append([]imagev1.ImagePolicy{other}, o.Policies...)
	for _, lane := range report.Lanes(o).Items {
		if lane.Key == "Deployment/apps/podinfo" && lane.Cells[1].Object.Name != "podinfo" {
			t.Errorf("got %+v", lane.Cells[1])
		}
	}
}

// TestStagesOfALane are those of the pipelines that carry its policy.
func TestStagesOfALane(t *testing.T) {
	o := released()
	bundle := func(tag string) *sluicev1.Bundle {
		return &sluicev1.Bundle{ID: tag, Versions: []sluicev1.Version{{Artifact: "podinfo", Tag: tag}}}
	}
	p := sluicev1.Pipeline{ObjectMeta: metaOf("flux-system", "podinfo")}
	p.Spec.Artifacts = []sluicev1.Artifact{{Name: "podinfo", ImagePolicyRef: &meta.LocalObjectReference{Name: "podinfo"}}}
	p.Spec.Stages = []sluicev1.Stage{{Name: "staging"}, {Name: "qa"}, {Name: "production"}}
	p.Status.Stages = []sluicev1.StageStatus{
		{Name: "staging", Phase: sluicev1.StageVerified, Has: bundle("1.2.0")},
		{Name: "qa", Phase: sluicev1.StageWaiting, Has: bundle("1.1.0"), Wants: bundle("1.2.0"),
			Waiting: []sluicev1.Gate{{Type: sluicev1.GateSoak, Message: "soaks for 10m"}}},
		{Name: "production", Phase: sluicev1.StageWaiting, Has: bundle("1.1.0"), Wants: bundle("1.2.0"),
			Waiting: []sluicev1.Gate{{Type: sluicev1.GateWindow, Message: "opens at nine"},
				{Type: sluicev1.GateApproval, Message: "waits for one approval"}}},
	}
	p.Spec.Stages[1].Ready = []sluicev1.ReadyReference{{Kind: "Kustomization", Name: "apps"}}
	p.Status.Stages[1].Commit = "fedcba9876"
	o.Pipelines, o.Automations = []sluicev1.Pipeline{p}, nil
	lane := report.Lanes(o).Items[0]
	if commit := lane.Cells[2]; commit.Value != "fedcba9" || commit.State != report.CellReady || commit.Object.Kind != sluicev1.PipelineKind {
		t.Errorf("commit %+v", commit)
	}
	var got []string
	for _, s := range lane.Stages {
		got = append(got, strings.Join(strings.Fields(fmt.Sprint(s.Name, " ", s.Has, " ", s.Wants, " ", s.State, " ", s.Message)), " "))
		if s.Here {
			got[len(got)-1] += " here"
		}
	}
	want := "staging 1.2.0 ready; qa 1.1.0 1.2.0 moving soaks for 10m here; production 1.1.0 1.2.0 waiting waits for one approval"
	if strings.Join(got, "; ") != want || lane.State != report.CellWaiting || lane.Column != report.ColumnLive {
		t.Errorf("got %s, %s %s", strings.Join(got, "; "), lane.State, lane.Column)
	}
}

// TestALaneSaysWhatToDoAboutAStage where that needs a person, and nothing where it only takes time.
func TestALaneSaysWhatToDoAboutAStage(t *testing.T) {
	for name, tc := range map[string]struct {
		stage sluicev1.StageStatus
		want  []string
	}{
		"that waits for an approval": {stage: sluicev1.StageStatus{Phase: sluicev1.StageWaiting,
			Waiting: []sluicev1.Gate{{Type: sluicev1.GateApproval}}}, want: []string{"pipeline approve podinfo production -n flux-system"}},
		"that has failed": {stage: sluicev1.StageStatus{Phase: sluicev1.StageFailed},
			want: []string{"pipeline rollback podinfo production -n flux-system --to=BUNDLE --reason=WHY"}},
		"that waits for a window": {stage: sluicev1.StageStatus{Phase: sluicev1.StageWaiting,
			Waiting: []sluicev1.Gate{{Type: sluicev1.GateWindow}}}},
		"that is verified": {stage: sluicev1.StageStatus{Phase: sluicev1.StageVerified}},
	} {
		t.Run(name, func(t *testing.T) {
			o := released()
			p := sluicev1.Pipeline{ObjectMeta: metaOf("flux-system", "podinfo")}
			p.Spec.Artifacts = []sluicev1.Artifact{{Name: "podinfo", ImagePolicyRef: &meta.LocalObjectReference{Name: "podinfo"}}}
			p.Spec.Stages = []sluicev1.Stage{{Name: "production"}}
			tc.stage.Name = "production"
			p.Status.Stages = []sluicev1.StageStatus{tc.stage}
			o.Pipelines = []sluicev1.Pipeline{p}
			var got []string
			for _, remedy := range report.Lanes(o).Items[0].Stages[0].Remedies {
				got = append(got, remedy.Command)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestAStageDoesNotWaitSinceItHasItsVersion: that came long before the version that it waits to get.
func TestAStageDoesNotWaitSinceItHasItsVersion(t *testing.T) {
	came, began := metav1.NewTime(now.Add(-72*time.Hour)), metav1.NewTime(now.Add(-2*time.Minute))
	one := &sluicev1.Bundle{ID: "1"}
	gate := func(kind sluicev1.GateType, since *metav1.Time) sluicev1.Gate {
		return sluicev1.Gate{Type: kind, Message: string(kind), Since: since}
	}
	for name, tc := range map[string]struct {
		stage  sluicev1.StageStatus
		failed []sluicev1.Quarantine
		want   *time.Time
	}{
		"for its first gate": {stage: sluicev1.StageStatus{Phase: sluicev1.StageWaiting,
			Waiting: []sluicev1.Gate{gate(sluicev1.GateSoak, &began), gate(sluicev1.GateWindow, nil)}}, want: &began.Time},
		"for approvals, of which it is not known": {stage: sluicev1.StageStatus{Phase: sluicev1.StageWaiting,
			Waiting: []sluicev1.Gate{gate(sluicev1.GateSoak, &began), gate(sluicev1.GateApproval, nil)}}},
		"for a review": {stage: sluicev1.StageStatus{Phase: sluicev1.StageProposed, Message: "pull request #1 proposes it",
			Waiting: []sluicev1.Gate{gate(sluicev1.GateWindow, nil), gate(sluicev1.GateReview, &began)}}, want: &began.Time},
		"for the end of a hold": {want: &began.Time,
			stage: sluicev1.StageStatus{Phase: sluicev1.StageHeld, Hold: &sluicev1.Consent{By: "ada", At: began}}},
		"it has failed": {stage: sluicev1.StageStatus{Phase: sluicev1.StageFailed, Has: one}, want: &began.Time,
			failed: []sluicev1.Quarantine{{Bundle: *one, Stage: "production", At: began}}},
		"it has failed, and so had another stage": {stage: sluicev1.StageStatus{Phase: sluicev1.StageFailed, Has: one},
			failed: []sluicev1.Quarantine{{Bundle: *one, Stage: "staging", At: began}}},
		"it waits for nothing": {stage: sluicev1.StageStatus{Phase: sluicev1.StageVerified}},
	} {
		t.Run(name, func(t *testing.T) {
			o := released()
			p := sluicev1.Pipeline{ObjectMeta: metaOf("flux-system", "podinfo")}
			p.Spec.Artifacts = []sluicev1.Artifact{{Name: "podinfo", ImagePolicyRef: &meta.LocalObjectReference{Name: "podinfo"}}}
			p.Spec.Stages = []sluicev1.Stage{{Name: "production"}}
			tc.stage.Name, tc.stage.Since = "production", &came
			p.Status.Stages, p.Status.Quarantined = []sluicev1.StageStatus{tc.stage}, tc.failed
			o.Pipelines = []sluicev1.Pipeline{p}
			got := report.Lanes(o).Items[0].Stages[0]
			if diff := cmp.Diff(tc.want, got.WaitingSince); diff != "" || !got.Since.Equal(came.Time) {
				t.Errorf("since %v, waiting: %s", got.Since, diff)
			}
		})
	}
}
