// SPDX-License-Identifier: Apache-2.0

// Package browser looks at the web page as people do: in Debian's Chromium, which is driven over the DevTools protocol.
// The page reads a real API server, of which people see and do what their tokens may.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sluice-cd/sluice/test/env"
	"github.com/sluice-cd/sluice/test/harness"
)

// Sizes of windows, in pixels.
const (
	wide, high = 1280, 800
	phone      = 390
	narrowest  = 320 // a small phone, or a page of 1280 pixels at four times its size
)

// launch starts the browser that all tests share, each in a profile of its own.
func launch(t *testing.T) context.Context {
	t.Helper()
	options := append([]chromedp.ExecAllocatorOption{chromedp.ExecPath(chromium(t)), chromedp.NoSandbox},
		chromedp.DefaultExecAllocatorOptions[:]...)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, leave := chromedp.NewContext(allocator)
	t.Cleanup(func() { leave(); stop() })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return ctx
}

func chromium(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		env.Missing(t, errors.New("chromium is not installed: hack/packages.sh chromium"))
	}
	return path
}

// axe is the source of axe-core, which make ui-test installs.
func axe(t *testing.T) string {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(root, "ui", "app", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		env.Missing(t, fmt.Errorf("axe-core is not installed: hack/ui.sh install (%w)", err))
	}
	return string(source)
}

// tab is a page of somebody in the browser. A script that fails, or that the Content-Security-Policy stops, fails the test.
type tab struct {
	*testing.T
	ctx context.Context
	// origin of the page.
	origin string

	heard *complaints
}

// complaints are those of the browser.
type complaints struct {
	mu    sync.Mutex
	texts []string
}

// in is the tab in a part of its test.
func (p *tab) in(t *testing.T) *tab {
	t.Helper()
	part := *p
	part.T = t
	return &part
}

// newTab opens an empty page, in a profile of its own, that is as wide as a desktop's, and light.
func (w *webTest) newTab(t *testing.T) *tab {
	t.Helper()
	p := &tab{T: t, origin: w.origin, heard: &complaints{}}
	ctx, leave := chromedp.NewContext(w.browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.heard.listen))
	t.Cleanup(leave)
	p.ctx = ctx
	if err := chromedp.Do(ctx); err != nil { // with a timeout it would end the tab
		t.Fatal(err)
	}
	p.look(wide, "light")
	return p
}

func (c *complaints) listen(event any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		c.texts = append(c.texts, (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error())
	case *log.EventEntryAdded:
		if e.Entry.Source == log.EntrySourceSecurity {
			c.texts = append(c.texts, e.Entry.Text)
		}
	}
}

// calm demands that no script has failed.
func (p *tab) calm() {
	p.Helper()
	p.heard.mu.Lock()
	defer p.heard.mu.Unlock()
	for _, text := range p.heard.texts {
		p.Error(text)
	}
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, harness.Patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.Fatal(err)
	}
}

// look makes the window so many pixels wide, and gives the system a theme. Nothing moves.
func (p *tab) look(width int64, theme string) {
	p.Helper()
	p.do(chromedp.EmulateViewport(width, high), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}})
		return err
	}))
}

// eval evaluates an expression in the page, or waits for the promise that it is.
func eval[T any](p *tab, expression string) T {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, harness.Patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("%s: %v", short(expression), err)
	}
	return value
}

func short(text string) string { return text[:min(len(text), 200)] }

// until waits until an expression is true. The error of a timeout has the text of the page.
func (p *tab) until(what, expression string) {
	p.Helper()
	if _, err := harness.Eventually(p.ctx, what, harness.Patience, func(ctx context.Context) (bool, string) {
		so, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		if err == nil && so {
			return true, ""
		}
		text, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`location.pathname + "\n" + document.body.innerText`))
		return false, fmt.Sprint(err, "\n", text)
	}); err != nil {
		p.Fatal(err)
	}
}

// open goes to a path of the page, and waits until what it asks for has come.
func (p *tab) open(path string) {
	p.Helper()
	p.do(chromedp.Navigate(p.origin + path))
	p.loaded()
}

// loaded waits until nothing is being read any more.
func (p *tab) loaded() {
	p.Helper()
	p.until("the screen", `document.querySelector("main h1") !== null && document.querySelector(".empty[role=status]") === null`)
}

// signIn gives a token to the page, as the form does.
func (p *tab) signIn(token string) {
	p.Helper()
	p.do(chromedp.Navigate(p.origin + "/login"))
	p.fill("#token", token)
	p.keys("\r")
	p.until("the page after signing in", `location.pathname === "/" && document.querySelector("main h1") !== null`)
}

// keys presses keys, with modifiers or without. A key that the page takes for itself types nothing.
func (p *tab) keys(keys string, modifiers ...chromedp.Modifier) {
	p.Helper()
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		for _, key := range keys {
			for _, event := range strokes(key, modifiers) {
				if _, err := cdp.Call(ctx, t, input.DispatchKeyEvent, event); err != nil {
					return err
				}
			}
		}
		return nil
	}))
}

// paste types a text that is long at once.
func (p *tab) paste(text string) {
	p.Helper()
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, input.InsertText, input.InsertTextParams{Text: text})
		return err
	}))
}

// strokes are the events of a key: what it types is part of the one that it goes down with, as it is of a keyboard.
func strokes(key rune, modifiers []chromedp.Modifier) []input.DispatchKeyEventParams {
	var events []input.DispatchKeyEventParams
	for _, event := range kb.Encode(key) {
		for _, modifier := range modifiers {
			event.Modifiers |= int64(modifier)
		}
		if event.Type != kb.KeyChar {
			events = append(events, *event)
		} else if len(events) > 0 && event.Modifiers&^int64(chromedp.ModifierShift) == 0 {
			events[0].Type, events[0].Text, events[0].UnmodifiedText = input.DispatchKeyEventTypeKeyDown, event.Text, event.UnmodifiedText
		}
	}
	return events
}

// text is what stands in the first element of a selector.
func (p *tab) text(selector string) string {
	p.Helper()
	return eval[string](p, fmt.Sprintf(`document.querySelector(%q)?.innerText ?? ""`, selector))
}

// says waits until the page says something, or the part of it that a selector means.
func (p *tab) says(selector, text string) {
	p.Helper()
	p.until(fmt.Sprintf("%q in %s", text, selector),
		fmt.Sprintf(`[...document.querySelectorAll(%q)].some((e) => e.innerText.includes(%q))`, selector, text))
}

// click presses the first button or link of a selector whose text begins with a word.
func (p *tab) click(selector, word string) {
	p.Helper()
	found := fmt.Sprintf(`[...document.querySelectorAll(%q)].find((e) => e.innerText.trim().startsWith(%q))`, selector, word)
	p.until("the button "+word, found+" !== undefined")
	eval[chromedp.Void](p, found+".click()")
}

// fits demands that nothing has to be scrolled sideways, once the curves know the width of the window.
func (p *tab) fits(screen string) {
	p.Helper()
	const beyond = `(() => {
		const width = document.documentElement.clientWidth;
		const cut = [...document.querySelectorAll("header :is(a, button)")].filter((e) => e.getBoundingClientRect().right > width);
		if (cut.length > 0) return cut.map((e) => "cut off: " + e.innerText);
		if (document.documentElement.scrollWidth <= width) return [];
		return ["page " + document.documentElement.scrollWidth + " > " + width].concat([...document.querySelectorAll("body *")]
			.filter((e) => e.getBoundingClientRect().right > width + 1 && !e.closest(".scroll, .off-screen"))
			.slice(0, 5).map((e) => e.tagName + "." + e.className + " " + Math.round(e.getBoundingClientRect().right)));
	})()`
	_, err := harness.Eventually(p.ctx, screen+" being no wider than the window", harness.Patience, func(ctx context.Context) (bool, string) {
		found, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](beyond))
		return err == nil && len(found) == 0, fmt.Sprint(err, strings.Join(found, ", "))
	})
	if err != nil {
		p.Error(err)
	}
}

// accessible demands that axe-core finds nothing.
func (p *tab) accessible(w *webTest, screen string) {
	p.Helper()
	eval[chromedp.Void](p, `if (!window.axe) {`+w.axe+`}`)
	const violations = `axe.run(document, {resultTypes: ["violations"]}).then((found) => found.violations.flatMap((v) =>
		v.nodes.slice(0, 4).map((n) =>
			v.id + ": " + n.target.join(" ") + " " + (n.any[0] ?? n.all[0] ?? n.none[0])?.message)))`
	for _, violation := range eval[[]string](p, violations) {
		p.Errorf("%s: %s", screen, violation)
	}
}
