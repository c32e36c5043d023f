// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"maps"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// pendingAnswers are being found out about one moment, in the background: the
// answers come some observations after the questions.
type pendingAnswers struct {
	about    string
	left     map[string]int
	measured []Measurement
	answers  map[flaggerv1.HookType]Answer
}

// ask puts the questions that are due, one leading to another, and reports
// whether there is nothing left to wait for.
func (w *simulation) ask(seen *situation) bool {
	s := seen.State
	about := fmt.Sprint(s.Phase, s.Applied, seen.Target.Revision, s.Weight, s.Iterations, s.FailedChecks, s.At.UnixNano())
	if w.pendingAnswers.about != about {
		w.pendingAnswers = pendingAnswers{about: about, left: map[string]int{}, answers: map[flaggerv1.HookType]Answer{}}
	}
	for range 10 {
		q := Due(seen.State, seen.Observation, w.now)
		if q.None() {
			return true
		}
		if !w.answered(q) {
			seen.Measured, seen.Answers = w.pendingAnswers.measured, maps.Clone(w.pendingAnswers.answers)
			return false
		}
		seen.Measured, seen.Answers = w.pendingAnswers.measured, maps.Clone(w.pendingAnswers.answers)
	}
	w.fatalf("one question leads to another: %+v", Due(seen.State, seen.Observation, w.now))
	return false
}

func (w *simulation) answered(q Questions) bool {
	complete := true
	if len(q.Metrics) > 0 && w.arrived("metrics") && w.pendingAnswers.measured == nil {
		w.pendingAnswers.measured = w.measure(q.Metrics)
	}
	complete = complete && (len(q.Metrics) == 0 || w.pendingAnswers.measured != nil)
	for _, hook := range q.Hooks {
		if !w.plan.Hooks[hook] {
			w.fatalf("asked %s, of which there is none", hook)
		}
		if _, ok := w.pendingAnswers.answers[hook]; !ok && w.arrived(string(hook)) {
			w.pendingAnswers.answers[hook] = w.answer(hook)
		}
		_, ok := w.pendingAnswers.answers[hook]
		complete = complete && ok
	}
	return complete
}

// arrived reports whether the answer to a question is there by now.
func (w *simulation) arrived(question string) bool {
	left, asked := w.pendingAnswers.left[question]
	if !asked {
		left = w.pick(3)
	}
	w.pendingAnswers.left[question] = left - 1
	return left <= 0
}

func (w *simulation) measure(metrics []Metric) []Measurement {
	measured := make([]Measurement, 0, len(metrics))
	for _, metric := range metrics {
		m := Measurement{Name: metric.Name, Value: 100}
		switch {
		case w.behaviour[w.target.revision].failsChecks:
			m.Value = 10
		case w.rarely(12):
			m.NoValues = true
		}
		measured = append(measured, m)
	}
	return measured
}

// answer is what the webhooks of a type say. Without disturbance they agree.
func (w *simulation) answer(hook flaggerv1.HookType) Answer {
	unless := 8
	switch hook {
	case flaggerv1.RollbackHook:
		return Answer{OK: w.rarely(15), Webhook: "rollback"}
	case flaggerv1.ConfirmRolloutHook, flaggerv1.ConfirmTrafficIncreaseHook, flaggerv1.ConfirmPromotionHook:
		unless = 2
	}
	if w.rarely(unless) {
		return Answer{Webhook: "stern", Why: "no"}
	}
	return Answer{OK: true, Webhook: "kind"}
}
