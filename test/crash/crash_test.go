// SPDX-License-Identifier: Apache-2.0

// Package crash kills the controller at random points of releases and demands
// that every release ends exactly as it would have without.
package crash

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/traffic"
)

var (
	kills = flag.Int("kills", 50, "how often the controller is killed")
	seed  = flag.Uint64("seed", 0, "of the random delays; 0 takes the time")
)

// Delays between a start of the controller and the next kill. Half of them are
// short: scan, commit, fetch and apply are over within that time. The others
// reach into the analysis.
const (
	shortDelay = 400 * time.Millisecond
	longDelay  = 3 * time.Second
)

// killsPerRelease spreads the kills over good and bad releases.
const killsPerRelease = 6

// interval is that of the analysis. It is longer than the window of the metrics,
// or the errors of a bad release would be held against the next one.
const interval = 4 * time.Second

// broken is a release that fails its analysis.
var broken = traffic.Traits{ErrorRate: 0.5, Latency: traffic.Healthy.Latency}

// chance is what every test draws its delays from.
var chance = sync.OnceValue(func() uint64 {
	if *seed == 0 {
		return uint64(time.Now().UnixNano())
	}
	return *seed
})

func TestReleasesEndAsIfTheControllerHadNotBeenKilled(t *testing.T) {
	t.Parallel() // each test has a namespace and a controller of its own
	p := harness.Require(t)
	t.Logf("-seed %d", chance())
	work := t.TempDir()
	c, err := chain.Setup(t.Context(), p, work, chain.Options{Namespace: "crash", Interval: interval})
	if err != nil {
		t.Fatal(err)
	}
	c.Users(t)
	sluice, err := p.StartController(t.Context(), work, "--canary-min-interval", interval.String(), "--watch-namespace", c.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sluice.Stop)
	if err := c.Ready(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, sluice.Tail(4000))
	}
	k := killer{sluice: sluice, random: rand.New(rand.NewPCG(chance(), 1)), left: *kills}
	want := []string{"Begin with " + chain.First}
	trusted := chain.First
	for minor := 1; k.left > 0; minor++ {
		tag := fmt.Sprintf("1.%d.0", minor)
		release, expected := chain.Release{Tag: tag}, chain.Promoted
		if minor%3 == 0 {
			release.Traits, expected = broken, chain.RolledBack
		}
		outcome := k.during(t, c, release)
		if outcome != expected {
			t.Fatalf("%s was %s, want %s\n%s", tag, outcome, expected, told(t, c))
		}
		if expected == chain.Promoted {
			trusted = tag
		}
		want = append(want, "Release "+c.Image()+":"+tag)
		check(t, c, want, trusted)
		t.Logf("%s %s, %d kills left", tag, outcome, k.left)
	}
}

// told are the events of the canary, oldest first.
func told(t *testing.T, c *chain.Chain) string {
	t.Helper()
	var events corev1.EventList
	if err := c.Client.List(context.Background(), &events, client.InNamespace(c.Namespace)); err != nil {
		return err.Error()
	}
	slices.SortFunc(events.Items, func(a, b corev1.Event) int { return a.FirstTimestamp.Compare(b.FirstTimestamp.Time) })
	var all strings.Builder
	for _, e := range events.Items {
		if e.InvolvedObject.Kind == "Canary" {
			fmt.Fprintf(&all, "%s %dx %s\n", e.FirstTimestamp.Format(time.TimeOnly), e.Count, e.Message)
		}
	}
	return all.String()
}

// killer kills and restarts the controller while a release is under way.
type killer struct {
	sluice *harness.Controller
	random *rand.Rand
	left   int
}

func (k *killer) during(t *testing.T, c *chain.Chain, r chain.Release) chain.Outcome {
	t.Helper()
	if err := c.Release(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var outcome chain.Outcome
	k.until(t, func() (err error) {
		outcome, err = c.Verdict(t.Context(), r.Tag)
		return err
	})
	return outcome
}

// until kills and restarts the controller until something that is waited for has happened.
func (k *killer) until(t *testing.T, happened func() error) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- happened() }()
	for killed := 0; ; killed++ {
		next := make(<-chan time.Time)
		if k.left > 0 && killed < killsPerRelease {
			next = time.After(k.delay())
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("%v\n%s", err, k.sluice.Tail(4000))
			}
			return
		case <-next:
			k.left--
			k.sluice.Kill()
			if err := k.sluice.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (k *killer) delay() time.Duration {
	longest := shortDelay
	if k.random.IntN(2) == 0 {
		longest = longDelay
	}
	return time.Duration(k.random.Int64N(int64(longest)))
}

// check compares history and cluster with what they would be without a kill.
func check(t *testing.T, c *chain.Chain, wantOldestFirst []string, trusted string) {
	t.Helper()
	checkHistory(t, c.Repo, wantOldestFirst)
	primary, err := c.Primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := primary.Spec.Template.Spec.Containers[0].Image, c.Image()+":"+trusted; got != want {
		t.Fatalf("the primary runs %s, want %s", got, want)
	}
}
