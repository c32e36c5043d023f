// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"fmt"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func navigate(address string) chromedp.Action[chromedp.Void] { return chromedp.Navigate(address) }

// focused is what has the focus: the words of it, or its name.
const focused = `((e) => e.getAttribute("aria-label") ??
	(e.innerText || e.getAttribute("aria-labelledby") || e.tagName).trim().split("\n")[0])(document.activeElement)`

// focusByTab presses the tabulator until an element has the focus.
func focusByTab(p *tab, selector string) {
	p.Helper()
	for range 60 {
		if eval[bool](p, fmt.Sprintf(`document.activeElement.matches(%q)`, selector)) {
			return
		}
		p.keys(kb.Tab)
	}
	p.Fatalf("the tabulator never comes to %s; it is at %s", selector, eval[string](p, focused))
}

// passesOverHidden moves among the cells of lanes that are not displayed all, by the width of the window or in a lane whose stages take
// the room of its canary. Arrows moved nothing there, for as many presses as cells were hidden, and the tabulator never came back.
func passesOverHidden(t *testing.T, w *webTest) {
	p := w.visitor(t, w.shop, "narrow", "get", "list", "watch")
	const web = `document.querySelector("[data-key$='/web']")`
	press := func(key string) {
		t.Helper()
		eval[bool](p, `(window.before = document.activeElement, true)`)
		p.keys(key)
		p.until("the focus has moved", `document.activeElement !== window.before && document.activeElement.matches("[data-cell]")`)
	}
	for _, width := range []int64{640, wide} {
		p.look(width, "light")
		p.open("/")
		p.until("the lane with stages", web+` !== null`)
		eval[bool](p, `(`+web+`.querySelector("[data-cell]").focus(), true)`)
		cells := eval[int](p, `[...`+web+`.querySelectorAll("[data-cell]")].filter((e) => e.getClientRects().length > 0).length`)
		if all := eval[int](p, web+`.querySelectorAll("[data-cell]").length`); cells < 3 || cells >= all {
			t.Fatalf("%d of %d cells are displayed at %d pixels", cells, all, width)
		}
		for range cells - 1 {
			press(kb.ArrowRight)
		}
		p.until("the last stage has the focus", `document.activeElement.innerText.startsWith("production")`)
		press(kb.ArrowUp)
		press("k")
		press("j")
		press(kb.ArrowDown)
		p.until("the lane again", web+`.contains(document.activeElement)`)
		for !eval[bool](p, web+`.querySelector("[data-cell]") === document.activeElement`) {
			press(kb.ArrowLeft)
		}
	}
	for range 6 {
		press(kb.ArrowRight) // of a width that shows them
	}
	p.look(640, "light")
	eval[bool](p, `(document.activeElement.blur(), true)`)
	focusByTab(p, "[data-cell]")
	p.calm()
}

// byKeyboard uses no mouse.
func byKeyboard(t *testing.T, w *webTest) {
	p := w.visitor(t, w.shop, "keyboard", "get", "list", "watch")
	p.says("main", "podinfo")
	at := func(path string) {
		t.Helper()
		p.until("the screen "+path, fmt.Sprintf(`location.pathname + location.search === %q`, path))
		p.loaded()
		p.until("the focus is in the screen "+path, `document.activeElement.id === "main"`)
	}
	var order []string
	for range 10 {
		p.keys(kb.Tab)
		order = append(order, eval[string](p, focused))
		if !eval[bool](p, `(({outlineStyle, outlineWidth, boxShadow}) =>
			outlineStyle !== "none" && outlineWidth !== "0px" || boxShadow !== "none")(getComputedStyle(document.activeElement))`) {
			t.Errorf("nothing shows that %s has the focus", order[len(order)-1])
		}
	}
	want := []string{"Skip to the content", "Sluice: releases", "Releases", "Versions", "Objects", "Timeline", "Go to…"}
	if !slices.Equal(order[:len(want)], want) {
		t.Errorf("the tabulator goes to %q, want %q first", order, want)
	}

	p.keys("gv")
	at("/versions")
	p.keys("go")
	at("/objects")
	p.keys("gt")
	at("/timeline")
	p.keys("gr")
	at("/")

	p.keys("k", chromedp.ModifierCtrl)
	p.until("the palette", `document.querySelector("dialog.palette[open]") !== null && document.activeElement.role === "combobox"`)
	p.accessible(w, "the palette")
	p.keys("nothing like this")
	p.says("dialog", "Nothing has this in its name.")
	p.keys(kb.Escape)
	p.until("the palette is closed", `document.querySelector("dialog[open]") === null`)
	p.keys("k", chromedp.ModifierCtrl)
	p.until("the palette", `document.activeElement.role === "combobox"`)
	p.keys("podinfo canary")
	p.until("one place", `document.querySelectorAll("[role=option]").length > 0`)
	p.keys(kb.Enter)
	at("/canary/" + w.shop + "/podinfo")

	p.keys("k", chromedp.ModifierCtrl)
	p.until("the palette", `document.activeElement.role === "combobox"`)
	p.keys("deployment podinfo-primary")
	p.until("an object of no lane", `document.querySelector("[role=option][aria-selected=true]")?.innerText.includes("Deployment") === true`)
	p.keys(kb.Enter)
	at("/objects/Deployment/" + w.shop + "/podinfo-primary")

	p.keys("?")
	p.says("dialog[open]", "go to any application, object or screen")
	p.accessible(w, "the keys")
	p.keys(kb.Escape)
	p.until("the list is closed", `document.querySelector("dialog[open]") === null`)
	p.keys("T")
	p.until("the light theme", `document.documentElement.dataset.theme === "light"`)

	p.keys("gr")
	at("/")
	p.keys("/podinfo")
	p.until("one lane", `document.querySelectorAll("[data-key]").length >= 1 && location.search === "?q=podinfo"`)
	p.keys(kb.ArrowDown)
	p.until("the first lane has the focus", `document.activeElement.closest("[data-key]") !== null`)
	p.keys(kb.ArrowRight + kb.ArrowRight)
	p.until("the policy has the focus", `document.activeElement.closest("[data-column]")?.dataset.column === "Policy"`)
	p.keys(kb.Enter)
	at("/policy/" + w.shop + "/podinfo")

	eval[bool](p, `(document.querySelector(".skip").focus(), true)`)
	p.keys(kb.Enter)
	at("/policy/" + w.shop + "/podinfo")
	p.calm()
}
