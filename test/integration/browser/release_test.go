// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/traffic"
	"github.com/sluice-cd/sluice/ui"
)

// recorder notes what stands in each column of a lane, as it changes.
const recorder = `(() => {
	window.seen = [];
	const look = () => document.querySelectorAll("[data-key$='/podinfo'] [data-column]").forEach((cell) => {
		const text = cell.dataset.column + " " + (cell.querySelector(".value")?.innerText ?? "");
		if (!window.seen.includes(text)) window.seen.push(text);
	});
	look();
	new MutationObserver(look).observe(document.querySelector("main"), {subtree: true, childList: true, characterData: true});
})()`

// watched follows releases of the real controller, at the page that it serves itself, from push to verdict without touching the
// page: one that is promoted and one that is rolled back, with a restart between them.
func watched(t *testing.T, w *webTest) {
	const interval = 2 * time.Second
	name := fmt.Sprintf("watched-%d", time.Now().UnixNano()) // the registry remembers the tags of other runs
	work := t.TempDir()
	c, err := chain.Setup(t.Context(), w.Playground, work, chain.Options{Namespace: name, Interval: interval, Threshold: 10, Requests: 20})
	if err != nil {
		t.Fatal(err)
	}
	address, err := harness.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(work, "session-key")
	if err := os.WriteFile(key, []byte(rand.Text()+rand.Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	var controller *harness.Controller
	chain.Serve(t, c, func() (harness.Running, error) {
		controller, err = w.StartController(t.Context(), work, "--canary-min-interval", interval.String(), "--watch-namespace", name,
			"--cluster-name", "sea of tranquility", "--ui-addr", address, "--ui-url", "http://"+address, "--ui-session-key-file", key)
		return controller, err
	})
	p := w.newTab(t)
	p.origin = "http://" + address
	p.signIn(w.account(t, name, "watches", "get", "list", "watch"))
	p.says("header", "sea of tranquility")
	p.until("the first version is live", live("1.0.0"))
	began := time.Now()
	p.follows(c, chain.Release{Tag: "1.1.0"}, live("1.1.0")+` && document.querySelector("[data-column=Canary].is-ready") !== null`,
		"Image 1.1.0", "Policy 1.1.0", "Canary 20 %", "Canary 40 %", "Live 1.1.0")
	p.agesFit(name, began, "image", "policy", "commit", "source", "apply", "canary", "live")
	p.open("/policy/" + name + "/" + chain.App)
	p.until("it is known of each tag when it was first seen", `document.querySelectorAll(".tags tbody tr").length > 1 &&
		[...document.querySelectorAll(".tags tbody tr")].every((row) => row.querySelector("time"))`)
	p.open("/")
	p.click("[data-column=Canary] a", "")
	p.says("main", "promoted")
	p.says("[aria-label=Pods]", "podinfo-primary")

	commits(t, w, p, controller, name)

	p.open("/")
	began = time.Now()
	p.follows(c, chain.Release{Tag: "1.2.0", Traits: traffic.Traits{ErrorRate: 0.5, Latency: traffic.Healthy.Latency}},
		live("1.1.0")+` && document.querySelector("[data-column=Canary].is-failed") !== null`,
		"Image 1.2.0", "Policy 1.2.0", "Canary 20 %", "Canary Failed")
	p.says(".spoken", "Canary failed")
	p.agesFit(name, began, "image", "policy", "commit", "source", "apply", "canary")
	p.open("/")
	p.click("[data-column=Canary] a", "")
	p.says(".metric.is-failed", "request-success-rate")
	p.says(".release[open]", "failed")
	p.open("/versions?all=1")
	p.says(".matrix .is-failed", "rolled back")
	p.calm()
}

// live is true when users have a version.
func live(tag string) string {
	return fmt.Sprintf(`document.querySelector("[data-column=Live] .value")?.innerText === %q`, tag)
}

// follows releases a version, waits for its end, and demands that steps were seen in this order.
func (p *tab) follows(c *chain.Chain, r chain.Release, end string, steps ...string) {
	p.Helper()
	eval[any](p, recorder+`, null`)
	if err := c.Release(p.Context(), r); err != nil {
		p.Fatal(err)
	}
	p.until("the verdict on "+r.Tag, end)
	seen := eval[[]string](p, `window.seen`)
	last := -1
	for _, step := range steps {
		at := slices.Index(seen, step)
		if at < 0 {
			p.Errorf("nobody saw %q: %q", step, seen)
		}
		if at < last && !strings.HasPrefix(step, "Policy") { // which may come with the image
			p.Errorf("%q came too early: %q", step, seen)
		}
		last = max(last, at)
	}
}

// agesFit demands that cells of a release that has ended are no older than the release, and that its steps took no longer than it.
func (p *tab) agesFit(namespace string, began time.Time, columns ...string) {
	p.Helper()
	key := "Deployment/" + namespace + "/" + chain.App
	cells := eval[map[string]time.Time](p, fmt.Sprintf(`fetch("/api/v1/lanes").then((answer) => answer.json()).then(({items}) =>
		Object.fromEntries(items.find(({key}) => key === %q).cells.filter(({since}) => since).map(({column, since}) => [column, since])))`, key))
	for _, column := range columns {
		if since := cells[column]; since.Before(began.Truncate(time.Second)) { // a status has whole seconds
			p.Errorf("%s is so since %s, before the release began at %s", column, since, began)
		}
	}
	p.open("/timeline/" + strings.ReplaceAll(key, "/", "%2F"))
	const steps = `[...document.querySelectorAll("[aria-label='How long each step took'] .number")]`
	p.until("the lead time", steps+`.length > 0`)
	took := eval[[]string](p, steps+`.map((one) => one.dateTime ?? one.innerText)`)
	var all time.Duration
	for _, text := range took {
		hop, err := time.ParseDuration(strings.ToLower(strings.TrimPrefix(text, "PT")))
		if err != nil {
			p.Errorf("how long a step took is %q", text)
		}
		all += hop
	}
	if elapsed := time.Since(began) + time.Second; len(took) < 4 || all > elapsed {
		p.Errorf("%d steps took %s in all, and the release %s: %q", len(took), all, elapsed, took)
	}
}

// commits looks at what the controller pushed, before and after it was started again: the page under which that happens heals.
func commits(t *testing.T, w *webTest, p *tab, controller *harness.Controller, namespace string) {
	var of imagev1.ImageUpdateAutomation
	if err := w.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: chain.App}, &of); err != nil {
		t.Fatal(err)
	}
	p.open("/commit/" + namespace + "/" + chain.App)
	p.says(".diff ins", "podinfo:1.1.0")
	p.accessible(w, "a commit of the controller")
	address := "/api/v1/commits/ImageUpdateAutomation/" + namespace + "/" + chain.App + "/"
	pushed := address + of.Status.LastPushCommit
	parent := eval[string](p, fmt.Sprintf(`fetch(%q).then((answer) => answer.json()).then(({parent}) => parent)`, pushed))
	may := func(resources ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: resources, Verbs: []string{"get", "list", "watch"}}
	}
	views := w.accountOf(t, namespace, "views", may("imageupdateautomations", "gitrepositories"))
	blind := w.accountOf(t, namespace, "blind", may("imageupdateautomations", "gitrepositories/commits"))
	for name, tc := range map[string]struct {
		path, token, want string
	}{
		"one that no status names":                       {path: address + parent, want: "404 "},
		"who may not read what commits changed":          {pushed, views, "200 You may not see what it changed"},
		"who may not read the GitRepository":             {pushed, blind, "403 "},
		"what was pushed, with the right to read it all": {path: pushed, want: "200  1"},
	} {
		got := eval[string](p, fmt.Sprintf(`fetch(%q, %s).then(async (answer) => {
			const {problem, files} = await answer.json();
			return [answer.status, problem ?? "", files?.length || ""].join(" ");
		})`, tc.path, bearer(tc.token)))
		if !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}

	controller.Stop()
	p.says("[role=status]", "Disconnected since")
	if err := controller.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.until("the page is connected again", `!document.body.innerText.includes("Disconnected")`)
	if _, err := harness.Eventually(t.Context(), "the commit being known again", harness.Patience, func(context.Context) (bool, string) {
		problem := eval[string](p, fmt.Sprintf(`fetch(%q).then((answer) => answer.json()).then(({problem}) => problem ?? "")`, pushed))
		return problem == "", problem
	}); err != nil {
		t.Fatal(err)
	}
	p.open("/commit/" + namespace + "/" + chain.App)
	p.says(".diff ins", "podinfo:1.1.0")
}

// bearer are the options of a request with a token instead of the cookie.
func bearer(token string) string {
	if token == "" {
		return "{}"
	}
	return fmt.Sprintf(`{credentials: "omit", headers: {Authorization: %q}}`, "Bearer "+token)
}

// heals stops the server under a page, and begins it again.
func heals(t *testing.T, w *webTest) {
	cluster := func() *ui.Cluster {
		of, err := ui.NewCluster(w.REST, w.shop, "eve")
		if err != nil {
			t.Fatal(err)
		}
		return of
	}
	listener := listen(t, "127.0.0.1:0")
	address := listener.Addr().String()
	stop := run(t, listener, ui.Options{Cluster: cluster(), Token: "the token"})
	p := w.newTab(t)
	p.origin = "http://" + address
	p.open("/login#token=the%20token")
	p.says("main", "podinfo")
	if address := eval[string](p, `location.pathname + location.search + location.hash`); address != "/" {
		t.Errorf("the token stands in the address: %s", address)
	}
	p.open("/canary/" + w.shop + "/search")
	stop()
	p.says("[role=status]", "Disconnected since")
	p.accessible(w, "disconnected")
	w.told(t, 0, told{"Canary", "search", "Synced", "it goes on"})
	run(t, listen(t, address), ui.Options{Cluster: cluster(), Token: "the token"})
	p.until("the page is connected again", `!document.body.innerText.includes("Disconnected")`)
	p.says("main", "it goes on")
	p.calm()
}
