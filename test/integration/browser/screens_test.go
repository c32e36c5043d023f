// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	rbacv1 "k8s.io/api/rbac/v1"
)

// pictures is where the pictures of docs/ui.md are written; make screenshots sets it.
var pictures = flag.String("pictures", "", "folder to write the pictures of docs/ui.md to")

// screen is one of the page.
type screen struct {
	// name of its picture.
	name string
	path string
	// says is what stands on it once all has come.
	says string
}

func (w *webTest) screens() []screen {
	shop := w.shop
	return []screen{
		{"releases", "/", "podinfo"},
		{"policy", "/policy/" + shop + "/podinfo", "7.0.0-rc.1"},
		{"versions", "/versions", "6.0.0"},
		{"commit", "/commit/" + shop + "/fleet", "apps/podinfo.yaml"},
		{"stage-commit", "/pipeline/" + shop + "/shop/commit/c0ffee0123456789", "it is too large"},
		{"canary", "/canary/" + shop + "/podinfo", "request-success-rate"},
		{"pipeline", "/pipeline/" + shop + "/shop", "0 of 1 approvals"},
		{"held", "/pipeline/" + shop + "/held", "in quarantine"},
		{"objects", "/objects?kind=Kustomization", "no such file"},
		{"object", "/objects/Kustomization/" + shop + "/shop", "was changed by kubectl-edit"},
		{"timeline", "/timeline/" + strings.ReplaceAll("Deployment/"+shop+"/podinfo", "/", "%2F"), "Advance podinfo canary weight 40"},
		{"none", "/nowhere", "There is no such page"},
	}
}

// everyScreen looks at each screen in both themes, on a desktop and on a phone, with axe-core.
func everyScreen(t *testing.T, w *webTest) {
	w.bind(t, w.production, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: w.shop, Name: "dev"})
	of := w.visitor(t, w.shop, "dev", "*") // who has signed in sees a new right within a minute only
	for _, s := range w.screens() {
		t.Run(s.name, func(t *testing.T) {
			p := of.in(t)
			p.look(wide, "light")
			p.open(s.path)
			p.says("main", s.says)
			p.until("the curves", `document.querySelectorAll(".chart").length === document.querySelectorAll(".chart canvas").length`)
			for _, stalled := range eval[[]string](p, `performance.getEntriesByType("resource")
				.filter((e) => e.duration > 20_000).map((e) => e.name)`) {
				t.Errorf("%s came late: do pages that were left keep their streams, and with them all connections?", stalled)
			}
			p.accessible(w, s.name+" in the light")
			p.fits(s.name)
			p.picture(s.name)
			p.look(wide, "dark")
			p.accessible(w, s.name+" in the dark")
			p.picture(s.name + "-dark")
			p.look(phone, "dark")
			p.fits(s.name + " on a phone")
			p.accessible(w, s.name+" on a phone")
			p.picture(s.name + "-phone")
			p.look(narrowest, "light")
			p.fits(s.name + " on the narrowest phone")
		})
	}
	of.calm()
}

// aFailedWebhook looks at what the webhooks of a release answered last. What is secret in their addresses is nowhere.
func aFailedWebhook(t *testing.T, w *webTest) {
	p := w.visitor(t, w.shop, "oncall", "get", "list", "watch")
	p.open("/canary/" + w.shop + "/podinfo")
	p.says("[aria-label=Webhooks] h2", "1 of 3 failed")
	p.says("[aria-label=Webhooks] li:first-child .bad", "answered 500: command hey failed: exit status 1")
	p.says("[aria-label=Webhooks] li", "d ago: answered 503 Service Unavailable")
	p.says("[aria-label=Webhooks] li:nth-child(2)", "passed")
	p.says("[aria-label=Webhooks] li:last-child", "not called yet")
	address := "/api/v1/canaries/" + w.shop + "/podinfo"
	if eval[bool](p, fmt.Sprintf(`fetch(%q).then((answer) => answer.text()).then((text) => text.includes("hunter2"))`, address)) {
		t.Error("the answer has the token of a webhook")
	}
	p.calm()
}

// longNames demands that what can be pressed stays in the window when names are long: those of clusters and of people
// pushed Sign out and the theme out of it, and those of stages were cut at the edge of their lane.
func longNames(t *testing.T, w *webTest) {
	p := w.visitor(t, w.shop, "reader", "get", "list", "watch")
	p.says("main", "production")
	const lengthen = `for (const e of document.querySelectorAll(
			".who > .dim, .stage-name, .stage .value, .app :is(strong, small), .step .value"))
		e.append("-with-a-name-as-long-as-kubernetes-lets-it-be".repeat(3))`
	for _, width := range []int64{wide, 1000, phone} {
		p.look(width, "light")
		p.open("/?q=production") // of all lanes a phone shows four
		p.says("main", "production")
		eval[chromedp.Void](p, lengthen)
		p.fits("the releases with long names")
		for _, cut := range eval[[]string](p, `[...document.querySelectorAll("header.top :is(a, button), [data-cell]")].filter((e) => {
			const edge = Math.min(innerWidth, e.closest(".lane")?.getBoundingClientRect().right ?? innerWidth);
			const {width, right} = e.getBoundingClientRect();
			return width > 0 && right > edge + 1;
		}).map((e) => e.innerText)`) {
			t.Errorf("%d pixels wide, this is cut off: %s", width, cut)
		}
	}
	p.calm()
}

// wideTables demands that on the narrowest phone a table, a diff or a document is scrolled by itself, and not the page (WCAG 1.4.10). What
// is in a table for screen readers alone is positioned, and made the page as wide as the table.
func wideTables(t *testing.T, w *webTest) {
	w.bind(t, w.production, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: w.shop, Name: "narrow-dev"})
	p := w.visitor(t, w.shop, "narrow-dev", "get", "list", "watch")
	const widen = `(() => {
		for (const e of document.querySelectorAll("main *")) {
			if (e.children.length > 0 || e.innerText === "" || e.closest("svg, select, time, button, .number, .off-screen")) continue;
			e.append("-as-long-as-kubernetes-lets-it-be".repeat(5));
		}
		for (const e of document.querySelectorAll("main :is(td, th, .hunk)")) {
			const spoken = document.createElement("span");
			spoken.className = "off-screen";
			spoken.append("for screen readers");
			e.append(spoken);
		}
		return document.querySelectorAll("main :is(.scroll, pre)").length;
	})()`
	scrolled := 0
	for _, s := range w.screens() {
		p.look(wide, "light")
		p.open(s.path)
		p.says("main", s.says)
		p.look(narrowest, "light")
		scrolled += eval[int](p, widen)
		p.fits(s.name + " with long words")
	}
	if scrolled < 8 {
		t.Errorf("only %d parts of all screens are scrolled by themselves", scrolled)
	}
	p.calm()
}

// picture writes what is seen for the documentation, if somebody asks for it.
func (p *tab) picture(name string) {
	p.Helper()
	documented := []string{"releases", "versions", "policy", "commit", "canary", "pipeline", "held", "object", "timeline",
		"canary-dark", "releases-phone"}
	if *pictures == "" || !slices.Contains(documented, name) {
		return
	}
	data, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*pictures, "ui-"+name+".png"), data, 0o644); err != nil {
		p.Fatal(err)
	}
}
