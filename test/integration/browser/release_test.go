// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/harness"
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

// watched follows a release of the real controller from its push to its verdict without touching the page.
func watched(t *testing.T, w *world) {
	const interval = 2 * time.Second
	name := fmt.Sprintf("watched-%d", time.Now().UnixNano()) // the registry remembers the tags of other runs
	work := t.TempDir()
	c, err := chain.Setup(t.Context(), w.Playground, work, chain.Options{Namespace: name, Interval: interval, Threshold: 10, Requests: 20})
	if err != nil {
		t.Fatal(err)
	}
	chain.Serve(t, c, func() (harness.Running, error) {
		return w.StartController(t.Context(), work, "--canary-min-interval", interval.String(), "--watch-namespace", name)
	})
	p := w.visitor(t, name, "watches", "get", "list", "watch")
	p.until("the first version is live", `document.querySelector("[data-column=Live] .value")?.innerText === "1.0.0"`)
	eval[any](p, recorder+`, null`)
	if err := c.Release(t.Context(), chain.Release{Tag: "1.1.0"}); err != nil {
		t.Fatal(err)
	}
	p.within(harness.Patience, "the verdict", `document.querySelector("[data-column=Live] .value")?.innerText === "1.1.0"`+
		` && document.querySelector("[data-column=Canary].is-ready") !== null`)
	seen := eval[[]string](p, `window.seen`)
	last := -1
	for _, step := range []string{"Image 1.1.0", "Policy 1.1.0", "Canary 20 %", "Canary 40 %", "Live 1.1.0"} {
		at := slices.Index(seen, step)
		if at < 0 {
			t.Errorf("nobody saw %q: %q", step, seen)
		}
		if at < last && !strings.HasPrefix(step, "Policy") { // which may come with the image
			t.Errorf("%q came too early: %q", step, seen)
		}
		last = max(last, at)
	}
	p.click("[data-column=Canary] a", "")
	p.says("main", "promoted")
	p.says("[aria-label=Pods]", "podinfo-primary")
	p.calm()
}

// heals stops the server under a page, and begins it again.
func heals(t *testing.T, w *world) {
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
	p.open("/login?token=the%20token")
	p.says("main", "podinfo")
	p.open("/canary/" + w.shop + "/search")
	stop()
	p.says("[role=status]", "Disconnected since")
	p.accessible(w, "disconnected")
	w.told(t, "Canary", "search", "Synced", "it goes on")
	run(t, listen(t, address), ui.Options{Cluster: cluster(), Token: "the token"})
	p.until("the page is connected again", `!document.body.innerText.includes("Disconnected")`)
	p.says("main", "it goes on")
	p.calm()
}
