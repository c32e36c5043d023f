// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// releasing is the fixture with a Canary in the second of three steps.
type releasing struct {
	*fixture
	canary *flaggerv1.Canary
}

func newReleasing(t *testing.T) *releasing {
	t.Helper()
	f := &releasing{fixture: newFixture(t)}
	bound := 99.0
	f.canary = &flaggerv1.Canary{ObjectMeta: f.named("podinfo"), Spec: flaggerv1.CanarySpec{
		Provider:  "gatewayapi:v1",
		TargetRef: flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "podinfo"},
		Service:   flaggerv1.CanaryService{Port: 80},
		Analysis: &flaggerv1.CanaryAnalysis{Interval: "30s", Threshold: 3, StepWeight: 20, MaxWeight: 60, Metrics: []flaggerv1.CanaryMetric{
			{Name: "request-success-rate", Interval: "1m", ThresholdRange: &flaggerv1.CanaryThresholdRange{Min: &bound}}}},
	}}
	f.create(f.canary)
	f.status(func(s *flaggerv1.CanaryStatus) {
		value, now := 99.5, metav1.Now()
		s.Phase, s.CanaryWeight, s.LastTransitionTime = flaggerv1.CanaryPhaseProgressing, 40, now
		s.LastAppliedSpec, s.LastPromotedSpec = "sha256:bbbbbbbbbb", "sha256:aaaaaaaaaa"
		s.Conditions = []flaggerv1.CanaryCondition{{Type: "Ready", Status: metav1.ConditionUnknown, Reason: "Progressing",
			Message: "Canary analysis at weight 40, step 2 of 3", LastTransitionTime: now}}
		s.History = []flaggerv1.CanaryRelease{{Revision: "sha256:bbbbbbbbbb", Images: []string{f.host + "/podinfo:6.1.0"}, StartedAt: now,
			Steps: []flaggerv1.CanaryStep{{
				Weight:   40,
				At:       now,
				Measured: []flaggerv1.CanaryMeasurement{{Name: "request-success-rate", Value: &value}},
			}}}}
	})
	return f
}

// status writes what the controller would have.
func (f *releasing) status(change func(*flaggerv1.CanaryStatus)) {
	f.t.Helper()
	f.must(f.Client.Get(f.t.Context(), client.ObjectKeyFromObject(f.canary), f.canary))
	before := f.canary.DeepCopy()
	change(&f.canary.Status)
	f.must(f.Client.Status().Patch(f.t.Context(), f.canary, client.MergeFrom(before)))
}

// carryOut plays the controller for one command: it waits until it was given, and
// records an outcome.
func (f *releasing) carryOut(ctx context.Context, outcome string) error {
	for {
		var c flaggerv1.Canary
		if err := f.Client.Get(ctx, client.ObjectKeyFromObject(f.canary), &c); err != nil {
			return err
		}
		command, err := flaggerv1.ParseCommand(c.Annotations[flaggerv1.CommandAnnotation])
		if err == nil && (c.Status.LastCommand == nil || !c.Status.LastCommand.Same(command)) {
			before := c.DeepCopy()
			command.Outcome = outcome
			c.Status.LastCommand = &command
			return f.Client.Status().Patch(ctx, &c, client.MergeFrom(before))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestGetCanaries(t *testing.T) {
	f := newReleasing(t)
	for _, args := range []string{"canary get", "canary get podinfo", "get canaries", "get canaries podinfo"} {
		out, _ := f.succeed(strings.Fields(args)...)
		got := words(out)
		got[1][7] = "?" // how long it has been so
		want := [][]string{
			{"NAME", "PHASE", "WEIGHT", "IMAGE", "STEP", "FAILED", "HOLD", "SINCE", "READY", "MESSAGE"},
			append([]string{"podinfo", "Progressing", "40", "podinfo:6.1.0", "2/3", "0/3", "-", "?", "Unknown"},
				strings.Fields("Canary analysis at weight 40, step 2 of 3")...),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", args, diff)
		}
	}
	out, _ := f.succeed("canary", "get", "-A", "-o", "json")
	var all struct {
		Items []struct {
			Namespace, Revision, Strategy string
			Release                       flaggerv1.CanaryRelease
		}
	}
	f.must(json.Unmarshal([]byte(out), &all))
	found := false
	for _, item := range all.Items {
		found = found ||
			item.Namespace == f.ns && item.Revision == "sha256:bbbbbbbbbb" && item.Strategy == "canary" && len(item.Release.Steps) == 1
	}
	if !found {
		t.Errorf("got %s", out)
	}
	_, errs, err := f.sluice("canary", "get", "nobody")
	if err == nil || !strings.Contains(errs, "there is no Canary nobody in namespace "+f.ns) {
		t.Errorf("%v: %s", err, errs)
	}
}

func TestDescribeCanary(t *testing.T) {
	f := newReleasing(t)
	f.status(func(s *flaggerv1.CanaryStatus) {
		s.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldGate, Gate: flaggerv1.ConfirmPromotionHook, By: "acceptance", Since: metav1.Now()}
	})
	f.create(&corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: "podinfo.1"}, Type: corev1.EventTypeNormal, Reason: "Synced",
		Message: "Advance podinfo canary weight 40", LastTimestamp: metav1.Now(),
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "flagger.app/v1beta1",
			Kind:       "Canary",
			Namespace:  f.ns,
			Name:       "podinfo",
			UID:        f.canary.UID,
		}})
	out, _ := f.succeed("canary", "describe", "podinfo")
	for _, want := range []string{
		f.ns + "/podinfo releases Deployment podinfo", "canary: 20%, 40%, 60% of the users, 30s each", "40% on the canary, 60% on the primary",
		"closed by the webhook acceptance for ", "open it with kubectl sluice canary approve podinfo -n " + f.ns,
		"Release of podinfo:6.1.0 (revision bbbbbbb), under way for ", "request-success-rate  99.50%  at least 99.00%",
		"Advance podinfo canary weight 40", "Ready  Unknown  Progressing",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

func TestCommandsReachTheController(t *testing.T) {
	f := newReleasing(t)
	tests := map[string]struct {
		args             []string
		outcome          string
		want, wantErrors string
	}{
		"carried out": {[]string{"halt", "podinfo"}, "the release is halted", f.ns + "/podinfo: the release is halted\n", ""},
		"refused": {
			[]string{"abort", "podinfo"},
			"refused: the promotion has begun",
			"",
			"refuses to abort " + f.ns + "/podinfo: the promotion has begun",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			carriedOut := make(chan error, 1)
			go func() { carriedOut <- f.carryOut(ctx, tc.outcome) }()
			out, errs, err := f.sluice(append([]string{"canary"}, tc.args...)...)
			f.must(<-carriedOut)
			if out != tc.want || (err != nil) != (tc.wantErrors != "") || !strings.Contains(errs, tc.wantErrors) {
				t.Errorf("%v, printed %q and %q", err, out, errs)
			}
			f.must(f.Client.Get(t.Context(), client.ObjectKeyFromObject(f.canary), f.canary))
			if last := f.canary.Status.LastCommand; string(last.Verb) != tc.args[0] || !strings.HasPrefix(last.By, "system:") && last.By == "" {
				t.Errorf("got %+v", last)
			}
		})
	}
}

func TestACommandIsGivenInTheNameOfWhoGivesIt(t *testing.T) {
	f := newReleasing(t)
	f.succeed("canary", "pause", "podinfo", "--wait=false", "--as", "alice", "--as-group", "system:masters")
	f.must(f.Client.Get(t.Context(), client.ObjectKeyFromObject(f.canary), f.canary))
	command, err := flaggerv1.ParseCommand(f.canary.Annotations[flaggerv1.CommandAnnotation])
	if err != nil || command.Verb != flaggerv1.CommandPause || command.By != "alice" {
		t.Errorf("%v: %+v", err, command)
	}
	out, _ := f.succeed("canary", "describe", "podinfo")
	if !strings.Contains(out, "pause by alice was given ") {
		t.Errorf("what waits for the controller is not shown:\n%s", out)
	}
}

func TestACommandThatMakesNoSenseIsNotGiven(t *testing.T) {
	f := newReleasing(t)
	_, errs, err := f.sluice("canary", "retry", "podinfo")
	if err == nil || !strings.Contains(errs, "there is nothing to retry: "+f.ns+"/podinfo has not failed; it is Progressing") {
		t.Errorf("%v: %s", err, errs)
	}
	f.must(f.Client.Get(t.Context(), client.ObjectKeyFromObject(f.canary), f.canary))
	if value, given := f.canary.Annotations[flaggerv1.CommandAnnotation]; given {
		t.Errorf("it was given all the same: %s", value)
	}
}

func TestACommandThatNobodyCarriesOutTimesOut(t *testing.T) {
	f := newReleasing(t)
	_, errs, err := f.sluice("canary", "halt", "podinfo", "--timeout", "1s")
	if err == nil || !strings.Contains(errs, "has not carried it out within 1s: is one running?") {
		t.Errorf("%v: %s", err, errs)
	}
}

// follow starts `sluice canary watch` and returns its lines as they come, and
// what it ends with.
func (f *releasing) follow(args ...string) (next func() string, end func() error, errs *bytes.Buffer) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Minute)
	f.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, append([]string{"canary", "watch", "--kubeconfig", f.Kubeconfig, "-n", f.ns}, args...)...)
	reader, writer := io.Pipe()
	errs = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = writer, errs
	f.must(cmd.Start())
	done := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		writer.Close()
		done <- err
	}()
	scanner := bufio.NewScanner(reader)
	next = func() string {
		if !scanner.Scan() {
			return ""
		}
		return scanner.Text()
	}
	end = func() error {
		for next() != "" { // let it write what it has left
		}
		return <-done
	}
	return next, end, errs
}

func TestWatchEndsWithTheRelease(t *testing.T) {
	f := newReleasing(t)
	next, end, errs := f.follow("podinfo", "--until-done")
	if line := next(); !strings.Contains(line, f.ns+"/podinfo  Progressing  weight 40  step 2/3  failed 0/3  podinfo:6.1.0") {
		t.Errorf("got %q", line)
	}
	f.status(func(s *flaggerv1.CanaryStatus) { s.CanaryWeight = 60 })
	if line := next(); !strings.Contains(line, "weight 60  step 3/3") {
		t.Errorf("got %q", line)
	}
	f.status(func(s *flaggerv1.CanaryStatus) { s.Phase, s.CanaryWeight = flaggerv1.CanaryPhaseSucceeded, 0 })
	if line := next(); !strings.Contains(line, "Succeeded  weight 0") {
		t.Errorf("got %q", line)
	}
	if err := end(); err != nil {
		t.Errorf("%v: %s", err, errs)
	}
}

func TestWatchFailsWithTheRelease(t *testing.T) {
	f := newReleasing(t)
	next, end, errs := f.follow("podinfo", "--until-done", "-o", "json")
	var line struct {
		Time   time.Time
		Phase  flaggerv1.CanaryPhase
		Stages int
	}
	f.must(json.Unmarshal([]byte(next()), &line))
	if line.Phase != flaggerv1.CanaryPhaseProgressing || line.Stages != 3 || line.Time.IsZero() {
		t.Errorf("got %+v", line)
	}
	f.status(func(s *flaggerv1.CanaryStatus) {
		s.Phase, s.CanaryWeight = flaggerv1.CanaryPhaseFailed, 0
		s.History[0].Verdict, s.History[0].Reason, s.History[0].EndedAt = flaggerv1.VerdictFailed, "aborted by eve", metav1.Now()
	})
	f.must(json.Unmarshal([]byte(next()), &line))
	if line.Phase != flaggerv1.CanaryPhaseFailed {
		t.Errorf("got %+v", line)
	}
	var exit *exec.ExitError
	if err := end(); !errors.As(err, &exit) || !strings.Contains(errs.String(), "was rolled back: aborted by eve") {
		t.Errorf("%v: %s", err, errs)
	}
}

func TestWatchEndsWithTheCanary(t *testing.T) {
	f := newReleasing(t)
	next, end, errs := f.follow("podinfo")
	next()
	f.must(f.Client.Delete(t.Context(), f.canary))
	if err := end(); err == nil || !strings.Contains(errs.String(), "was deleted") {
		t.Errorf("%v: %s", err, errs)
	}
}

func TestWatchTimesOut(t *testing.T) {
	f := newReleasing(t)
	_, end, errs := f.follow("--timeout", "1s")
	if err := end(); err == nil || !strings.Contains(errs.String(), "--timeout 1s is over") {
		t.Errorf("%v: %s", err, errs)
	}
}

func TestCanariesAndVerbsAreCompleted(t *testing.T) {
	f := newReleasing(t)
	for args, want := range map[string]string{
		"canary describe ": "podinfo", "canary abort ": "podinfo", "canary watch ": "podinfo", "get canaries ": "podinfo", "canary ap": "approve",
	} {
		words := strings.Fields(args)
		if strings.HasSuffix(args, " ") {
			words = append(words, "")
		}
		complete := append([]string{"__complete", "--kubeconfig", f.Kubeconfig, "-n", f.ns}, words...)
		out, _, err := f.raw(complete...)
		if err != nil || !strings.HasPrefix(out, want) {
			t.Errorf("%s: %v: %s", args, err, out)
		}
	}
}
