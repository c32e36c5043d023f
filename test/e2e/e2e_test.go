// SPDX-License-Identifier: Apache-2.0

// Package e2e puts releases through the whole chain, from a push to the
// registry to the verdict of the canary, with the real controller on a
// playground, and looks at what they leave behind in Git and in the cluster.
package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/traffic"
)

func TestGoodReleasesArePromotedAndBadOnesRolledBack(t *testing.T) {
	if *healthy > 0 {
		t.Skip("-healthy-releases asks for these alone")
	}
	c, sluice := start(t)
	for _, tc := range []struct {
		release chain.Release
		want    chain.Outcome
		trusted string
	}{
		{chain.Release{Tag: "1.1.0"}, chain.Promoted, "1.1.0"},
		{chain.Release{Tag: "1.2.0", Traits: traffic.Traits{ErrorRate: 0.5}}, chain.RolledBack, "1.1.0"},
		{chain.Release{Tag: "1.2.1", Traits: traffic.Traits{Latency: 700 * time.Millisecond}}, chain.RolledBack, "1.1.0"},
		{chain.Release{Tag: "1.2.2", Crashes: true}, chain.RolledBack, "1.1.0"},
		{chain.Release{Tag: last}, chain.Promoted, last},
	} {
		if c.Node != "real" && tc.release.Crashes {
			continue // simulated pods never do
		}
		if chart, ok := sluice.(*harness.Chart); ok && tc.release.Tag == last {
			upgrade(t, chart)
		}
		before := primary(t, c)
		c.Ledger.Open()
		if err := c.Release(t.Context(), tc.release); err != nil {
			t.Fatal(err)
		}
		got, err := c.Verdict(t.Context(), tc.release.Tag)
		if err != nil || got != tc.want {
			t.Fatalf("%s was %q, want %q: %v", tc.release.Tag, got, tc.want, err)
		}
		if err := answered(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		harm(t, c.Ledger.Open(), tc.release, tc.want)
		after := primary(t, c)
		if image := after.Spec.Template.Spec.Containers[0].Image; image != c.Image()+":"+tc.trusted {
			t.Errorf("after %s users get %s", tc.release.Tag, image)
		}
		if tc.want == chain.RolledBack && after.Generation != before.Generation {
			t.Errorf("%s was rolled back, and the primary was touched", tc.release.Tag)
		}
		everybodyOnThePrimary(t, c)
		committedOnce(t, c, tc.release.Tag)
	}
	judgeReleases(t, c)
	if chart, ok := sluice.(*harness.Chart); ok {
		logged(t, c)
		uninstalled(t, c, chart)
	}
}

// upgrade gives Sluice another version of its image in the middle of its work.
func upgrade(t *testing.T, chart *harness.Chart) {
	t.Helper()
	before, err := chart.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := chart.Upgrade(t.Context(), "v0.0.2"); err != nil {
		t.Fatal(err)
	}
	after, err := chart.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != 1 || cmp.Equal(before, after) {
		t.Errorf("pods and images before the upgrade %v, after it %v", before, after)
	}
}

// logged demands that `sluice logs` prints what the pod has logged, the lines about some kind alone.
func logged(t *testing.T, c *chain.Chain) {
	t.Helper()
	bin, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	logs := exec.CommandContext(t.Context(), bin, "logs", "-n", c.Namespace, "--kind", "Canary", "--kubeconfig", c.Kubeconfig)
	said, err := logs.CombinedOutput()
	if of := " info Canary/" + chain.App + "." + c.Namespace + " - "; err != nil || !strings.Contains(string(said), of) {
		t.Errorf("sluice logs: %v, printed\n%s", err, said)
	}
	for line := range strings.Lines(string(said)) {
		if !strings.Contains(line, " Canary/") {
			t.Errorf("sluice logs --kind Canary printed %s", line)
		}
	}
}

// uninstalled demands that what was served stays when Sluice goes: the app, and every
// object of Sluice's kinds.
func uninstalled(t *testing.T, c *chain.Chain, chart *harness.Chart) {
	t.Helper()
	if err := chart.Uninstall(t.Context()); err != nil {
		t.Fatal(err)
	}
	canary := &flaggerv1.Canary{}
	if err := c.Client.Get(t.Context(), client.ObjectKey{Namespace: c.Namespace, Name: chain.App}, canary); err != nil {
		t.Errorf("the canary after Sluice was uninstalled: %v", err)
	}
	if got := primary(t, c).Status.ReadyReplicas; got == 0 {
		t.Error("the app has no ready pods after Sluice was uninstalled")
	}
	if err := chart.Upgrade(t.Context(), "v0.0.2"); err != nil { // it finalizes what the test leaves behind
		t.Fatal(err)
	}
}

// last is the release at the end, by another version of Sluice than the first.
const last = "1.3.0"

const (
	// interval is that of the analysis in these tests.
	interval = 4 * time.Second
	// deadline is how long pods that crash are given.
	deadline = 20 * time.Second
)

// harm tells how many requests of users failed, and how many would have, had
// Flagger decided; make bench compares the two. A good release does none: what
// fails of it are requests that meet a pod just as it ends, for a quarter of a second where a busy machine is slow to
// take up that it does.
func harm(t *testing.T, got traffic.Account, r chain.Release, outcome chain.Outcome) {
	t.Helper()
	theirs := chain.Options{Interval: interval}.Rules().Replay(got, chain.Good)
	t.Logf("%s was %s: %d of %d requests failed (%.2f%%) in %s; by Flagger's rules %.0f of the canary's would have",
		r.Tag, outcome, got.Failed, got.Requests, 100*got.Share(), got.Took.Round(time.Second), theirs)
	switch {
	case got.Requests == 0:
		t.Errorf("%s: there were no users", r.Tag)
	case outcome == chain.Promoted && got.Share() > 0.02:
		t.Errorf("%s: %.2f%% of the requests failed during a good release", r.Tag, 100*got.Share())
	case r.Crashes && got.Canary > 0:
		t.Errorf("%s: %d requests went to pods that crash", r.Tag, got.Canary)
	case outcome == chain.RolledBack && !r.Crashes && got.CanaryFailed == 0:
		t.Errorf("%s was rolled back, and no request of a user had failed", r.Tag)
	}
}

// answered waits until the canary's pods are gone, and with them the last of the
// requests that they got: a slow one would count for the release that follows.
func answered(ctx context.Context, c *chain.Chain) error {
	_, err := harness.Eventually(ctx, "the end of the canary's pods", harness.Patience, func(ctx context.Context) (bool, string) {
		var pods corev1.PodList
		err := c.Client.List(ctx, &pods, client.InNamespace(c.Namespace), client.MatchingLabels{"app": chain.App})
		return err == nil && len(pods.Items) == 0, fmt.Sprint(len(pods.Items), err)
	})
	return err
}

// start runs a chain, its users and the controller, and waits until the first
// version serves.
func start(t *testing.T) (*chain.Chain, harness.Running) {
	t.Helper()
	log.SetLogger(logr.Discard()) // what is worth telling is in the log of the controller
	t.Parallel()                  // not before: loggers are set by one at a time
	p := harness.Require(t)
	work := t.TempDir()
	name := fmt.Sprintf("e2e-%d", time.Now().UnixNano()) // the registry remembers the tags of other runs
	c, err := chain.Setup(t.Context(), p, work, chain.Options{Namespace: name, Interval: interval, Deadline: deadline, Requests: 50})
	if err != nil {
		t.Fatal(err)
	}
	return c, chain.Serve(t, c, func() (harness.Running, error) {
		return p.Start(t.Context(), work, "--canary-min-interval", interval.String(), "--watch-namespace", c.Namespace)
	})
}

func primary(t *testing.T, c *chain.Chain) *appsv1.Deployment {
	t.Helper()
	d, err := c.Primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func everybodyOnThePrimary(t *testing.T, c *chain.Chain) {
	t.Helper()
	route := &gatewayv1.HTTPRoute{}
	if err := c.Client.Get(t.Context(), client.ObjectKey{Namespace: c.Namespace, Name: chain.App}, route); err != nil {
		t.Fatal(err)
	}
	weights := map[string]int32{}
	for _, ref := range route.Spec.Rules[0].BackendRefs {
		weights[string(ref.Name)] = *ref.Weight
	}
	if diff := cmp.Diff(map[string]int32{"podinfo-primary": 100, "podinfo-canary": 0}, weights); diff != "" {
		t.Errorf("weights (-want +got):\n%s", diff)
	}
}

// committedOnce demands one commit for the tag, with a diff of exactly one line.
func committedOnce(t *testing.T, c *chain.Chain, tag string) {
	t.Helper()
	log, err := c.Repo.Log(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(strings.Join(log, "\n"), ":"+tag); n != 1 || !strings.Contains(log[0], ":"+tag) {
		t.Errorf("want one commit for %s, the newest: %v", tag, log)
	}
	head, err := c.Repo.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	diff, err := c.Repo.Diff(t.Context(), head)
	if err != nil {
		t.Fatal(err)
	}
	var changed []string
	for line := range strings.Lines(diff) {
		if strings.HasPrefix(line, "+ ") || strings.HasPrefix(line, "- ") {
			changed = append(changed, strings.TrimSpace(line))
		}
	}
	if len(changed) != 2 || !strings.Contains(changed[1], ":"+tag+" # {") {
		t.Errorf("want one changed line, got:\n%s", diff)
	}
}
