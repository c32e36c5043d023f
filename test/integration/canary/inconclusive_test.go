// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/utils/ptr"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/test/harness"
)

// liar is a pod of the primary that is scraped, and whose errors are no number.
func (w *testEnv) liar(p *harness.Playground) {
	w.t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = rw.Write([]byte("judged_requests_total{code=\"200\"} 7\njudged_requests_total{code=\"500\"} NaN\n"))
	}))
	w.t.Cleanup(server.Close)
	file := filepath.Join(p.PrometheusTargets, w.namespace+"-liar.json")
	text := fmt.Sprintf(`[{"targets": [%q], "labels": {
		"judged_namespace": %q, "judged_arm": "primary", "kubernetes_pod_name": "podinfo-primary-z"}}]`,
		server.Listener.Addr(), w.namespace)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = os.Remove(file) })
}

// TestAJudgeThatIsToldNonsenseSaysSoAndDecidesNothing until its time is up, and then does what the owner wants.
func TestAJudgeThatIsToldNonsenseSaysSoAndDecidesNothing(t *testing.T) {
	const nonsense = "the counter of errors of podinfo-primary-z of the primary is no number"
	for _, action := range []flaggerv1.InconclusiveAction{
		flaggerv1.InconclusiveHold, flaggerv1.InconclusivePromote, flaggerv1.InconclusiveRollback,
	} {
		t.Run(string(action), func(t *testing.T) {
			t.Parallel()
			log := &eventLog{}
			p := harness.Installed(t)
			w := newTestEnv(t, log)
			w.create(w.counted(p))
			w.liar(p)
			w.podinfo(func(c *flaggerv1.Canary) {
				c.Spec.ProgressDeadlineSeconds = ptr.To(int32(8))
				c.Spec.Analysis.Sampling = &flaggerv1.CanarySampling{Interval: "1s", Disabled: true}
				c.Spec.Analysis.Judge = &flaggerv1.CanaryJudge{OnInconclusive: action,
					TemplateRef: &flaggerv1.CrossNamespaceObjectReference{Name: "requests"}}
			})
			newUsers(t, w, p).failing.Store(900)
			w.apply("podinfo:2")
			w.until("its problem is said", func() bool {
				judge := w.canary().Status.Judge
				return judge != nil && strings.Contains(judge.Problem, nonsense)
			})
			want := map[flaggerv1.InconclusiveAction]string{
				flaggerv1.InconclusiveHold:     "advancement the judge is inconclusive: ",
				flaggerv1.InconclusivePromote:  "without a verdict of the judge: ",
				flaggerv1.InconclusiveRollback: "the judge is inconclusive: ",
			}[action]
			w.until("what becomes of it", func() bool { return log.has(want) && log.has(nonsense) })
			switch action {
			case flaggerv1.InconclusivePromote:
				w.phase(flaggerv1.CanaryPhaseSucceeded)
			case flaggerv1.InconclusiveRollback:
				w.phase(flaggerv1.CanaryPhaseFailed)
			default:
				if s := w.canary().Status; s.Phase != flaggerv1.CanaryPhaseProgressing || s.CanaryWeight == 0 || s.Hold == nil {
					t.Errorf("%s with weight %d and hold %v", s.Phase, s.CanaryWeight, s.Hold)
				}
			}
			if judge := w.canary().Status.Judge; judge.Outcome == flaggerv1.JudgeFail || judge.Outcome == flaggerv1.JudgePass {
				t.Errorf("the judge says %s: %s", judge.Outcome, judge.Message)
			}
		})
	}
}
