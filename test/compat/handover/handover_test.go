// SPDX-License-Identifier: Apache-2.0

package handover

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/test/harness"
)

// controller is one that serves canaries.
type controller interface {
	Kill()
	Log() string
	// start starts it again.
	start(context.Context) error
	// knows reports whether it has looked at a canary since it was started.
	knows(context.Context, *flaggerv1.Canary) bool
}

func TestFlaggerToSluiceAndBack(t *testing.T) {
	t.Parallel()
	handover(t, "from-flagger", startFlagger, startSluice)
}

func TestSluiceToFlaggerAndBack(t *testing.T) {
	t.Parallel()
	handover(t, "from-sluice", startSluice, startFlagger)
}

func handover(t *testing.T, ns string, first, second func(*testing.T, string) controller) {
	f := newFleet(t, ns, apps)
	one := first(t, ns)
	logs := []string{one.Log()}
	defer func() { f.explain(logs...) }()
	begun := time.Now()
	f.each(f.apps, f.bring)
	f.label(open, "shifting")
	f.until("users of shifting being on their way back", func() bool { w := f.users.weight("shifting"); return 0 < w && w < 50 })
	f.label(open, "finalising")
	f.phase("finalising", flaggerv1.CanaryPhaseFinalising)
	one.Kill()
	t.Logf("all are where they are held after %s", time.Since(begun).Round(time.Second))
	before, since := f.look(), f.users.version()
	two := second(t, ns) // until it is ready, there is nobody
	logs = append(logs, two.Log())
	f.settle(two)
	f.nothingMoved(before)
	f.release()
	f.delete("reverted")
	f.each(f.apps, f.ended)
	f.neverBack(since)
	t.Logf("all have ended after %s", time.Since(begun).Round(time.Second))

	two.Kill()
	before = f.look()
	if err := one.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.settle(one)
	f.nothingMoved(before)
	f.noComplaints()
	for _, why := range f.users.unanswered(f.judged(two), f.since) {
		t.Error(why)
		app, _, _ := strings.Cut(why, ":")
		t.Log(strings.Join(f.users.story(app, since), "\n"))
	}
	t.Logf("all are back after %s", time.Since(begun).Round(time.Second))
}

// judged are the apps whose users must have had an answer all the time. Where Flagger
// deletes a canary it may look at it once more while it gives the Service back, which then
// selects the primary that is on its way out.
func (f *fleet) judged(deletes controller) []app {
	if _, ok := deletes.(*flagger); !ok {
		return f.apps
	}
	return slices.DeleteFunc(slices.Clone(f.apps), func(a app) bool { return a.name == "reverted" })
}

// settle waits until a controller has looked at all canaries.
func (f *fleet) settle(by controller) {
	f.Helper()
	f.each(f.apps, func(a app) {
		f.until("a look at "+a.name, func() bool {
			c := f.canary(a.name)
			return c.Name == "" || c.DeletionTimestamp != nil || by.knows(f.Context(), c)
		})
	})
}

// ended waits for where the second controller brings an app.
func (f *fleet) ended(a app) {
	f.Helper()
	if a.ends == "" {
		f.until("the end of "+a.name, func() bool { return f.users.canary(a.name) == nil })
		return
	}
	f.phase(a.name, a.ends)
	f.idle(a)
	if runs := f.primary(a); runs != a.runs() {
		f.Errorf("the primary of %s runs %s, want %s", a.name, runs, a.runs())
	}
}

// neverBack says of releases whether users were taken off the canary before its end,
// or brought back to it after it.
func (f *fleet) neverBack(since uint64) {
	f.Helper()
	for _, a := range f.apps {
		weights := f.users.weights(a.name, since)
		if a.weight > 0 && slices.Contains(weights[:len(weights)-1], 0) {
			f.Errorf("%s began again: weights %v", a.name, weights)
		}
		if a.phase == flaggerv1.CanaryPhasePromoting && !slices.IsSortedFunc(weights, func(a, b int) int { return b - a }) {
			f.Errorf("%s has users who went back to it: weights %v", a.name, weights)
		}
	}
}

// startSluice starts the real controller.
func startSluice(t *testing.T, ns string) controller {
	t.Helper()
	c, err := the.StartController(t.Context(), t.TempDir(), "--controllers=canary", "--canary-min-interval=100ms", "--watch-namespace", ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Kill)
	return sluice{c}
}

type sluice struct{ *harness.Controller }

func (s sluice) start(ctx context.Context) error { return s.Start(ctx) }

// knows looks for a field that Flagger takes away with every status that it writes.
func (sluice) knows(_ context.Context, c *flaggerv1.Canary) bool {
	return c.Status.ObservedGeneration == c.Generation
}

// startFlagger starts the real Flagger, which takes a second instead of ten to
// notice canaries.
func startFlagger(t *testing.T, ns string) controller {
	t.Helper()
	c, err := the.StartFlagger(t.Context(), ns, t.TempDir(), "-control-loop-interval", "1s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Kill)
	return &flagger{Flagger: c}
}

type flagger struct {
	*harness.Flagger
	// said is the length of the log at the start.
	said int64
}

func (fl *flagger) start(context.Context) error {
	log, err := os.Stat(fl.Log())
	if err != nil {
		return err
	}
	fl.said = log.Size()
	return fl.Launch()
}

// knows asks its metrics, which begin with the process and have canaries at rest,
// and looks into its log, which has the others.
func (fl *flagger) knows(ctx context.Context, c *flaggerv1.Canary) bool {
	log, err := os.ReadFile(fl.Log())
	if err == nil && strings.Contains(string(log[fl.said:]), fmt.Sprintf("\"canary\":\"%s.%s\"", c.Name, c.Namespace)) {
		return true
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fl.URL+"/metrics", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return err == nil && strings.Contains(string(text), fmt.Sprintf("flagger_canary_status{name=%q,namespace=%q}", c.Name, c.Namespace))
}

// nothingMoved compares what is at rest with what was.
func (f *fleet) nothingMoved(before map[string]string) {
	f.Helper()
	f.same(before, f.look())
}

func (f *fleet) same(before, now map[string]string) {
	f.Helper()
	if diff := cmp.Diff(before, now); diff != "" {
		f.Errorf("the handover itself has changed (-before +after):\n%s", diff)
	}
}

// moves reports whether something changes by itself, whoever runs: what is on its
// way, and what is collected with a Canary.
func (f *fleet) moves(name string) bool {
	return slices.ContainsFunc(f.apps, func(a app) bool {
		return (a.late || f.users.canary(a.name) == nil) && strings.HasPrefix(name, a.name)
	})
}

// follows reports whether an object is the canary's copy of a target Service, which
// either controller makes anew all the time, with annotations of its own.
func (f *fleet) follows(o *unstructured.Unstructured) bool {
	return slices.ContainsFunc(f.apps, func(a app) bool {
		return a.kind == "Service" && o.GetAPIVersion() == "v1" && o.GetKind() == "Service" && o.GetName() == a.name+"-canary"
	})
}

// look is everything that belongs to the apps: who it is, what it says, and where
// its Canary stands.
func (f *fleet) look() map[string]string {
	f.Helper()
	seen := map[string]string{}
	for _, kind := range owned {
		list := newList(kind)
		if err := the.Client.List(f.Context(), list, client.InNamespace(f.ns)); err != nil {
			f.Fatal(err)
		}
		for i := range list.Items {
			o := &list.Items[i]
			if o.GetLabels()["sluice.dev/canary"] != "" {
				continue // a snapshot, which only Sluice makes
			}
			if f.moves(o.GetName()) {
				continue
			}
			if f.follows(o) {
				o.SetAnnotations(nil)
			}
			seen[kind.Kind+"."+kind.Group+"/"+o.GetName()] = describe(o)
		}
	}
	for _, a := range f.apps {
		c := f.canary(a.name)
		if a.late {
			continue
		}
		seen["Canary/"+a.name] = fmt.Sprint(c.UID, c.Status.Phase, f.users.weight(a.name),
			c.Status.LastAppliedSpec, c.Status.LastPromotedSpec, c.Status.TrackedConfigs,
			c.Status.SessionAffinityCookie, c.Status.PrimarySessionAffinityCookie)
	}
	return seen
}
