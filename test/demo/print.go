// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/harness"
)

// printer writes the timeline. Times are since the push of the release.
type printer struct {
	mu    sync.Mutex
	out   io.Writer
	style style
	now   func() time.Time

	tag       string
	start     time.Time // of the release
	last      time.Time // of the entry before
	hops      []hop
	summaries []string
}

// hop is how long one step of the current release took.
type hop struct {
	name chain.Hop
	took time.Duration
}

func newPrinter(out *os.File) *printer {
	return &printer{out: out, style: styleFor(out), now: time.Now}
}

func (p *printer) printf(format string, args ...any) { _, _ = fmt.Fprintf(p.out, format, args...) }

func (p *printer) title(node string) {
	p.printf("\n%s\n", p.style.bold("Sluice, from push to verdict"))
	if node == "real" {
		p.printf("%s\n\n", p.style.dim("Real pods of podinfo; real requests, through a small gateway that obeys the HTTPRoute."))
		return
	}
	p.printf("%s\n", p.style.dim("SIMULATED nodes and traffic: no container runs, and a simulator plays users and app by"))
	p.printf("%s\n\n", p.style.dim("the labels of the images. API server, registry, Git, Prometheus and Sluice are real."))
}

// progress is where the playground's launcher tells what it does.
func (p *printer) progress() io.Writer { return indenter{p} }

func (p *printer) done(what string, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.printf("  %s %-44s %s\n", p.style.green("✓"), what, p.style.dim(seconds(took)))
}

func (p *printer) begin(r chain.Release, node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kind := "a good release"
	if r.Traits.ErrorRate > 0 {
		kind = fmt.Sprintf("a bad release: %.0f%% of its answers are errors", r.Traits.ErrorRate*100)
		if node == "real" {
			kind = "a bad release: a third of its answers are errors"
		}
	}
	p.tag, p.hops, p.start = r.Tag, nil, p.now()
	p.last = p.start
	p.printf("\n%s %s\n", p.style.bold(r.Tag), p.style.dim("· "+kind))
}

func (p *printer) pushed(image string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(p.now(), "pushed", image)
}

// entry prints one line of the timeline, which begins when the tag is seen and
// ends with the verdict. What comes before and after is about other versions.
func (p *printer) entry(e chain.Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tag == "" || len(p.hops) == 0 && e.Hop != chain.Seen {
		return
	}
	text := e.Text
	switch {
	case e.Warning:
		text = p.style.red(text)
	case e.Hop == chain.Verdict:
		text = p.style.green(text)
	}
	if e.Weight >= 0 {
		text = p.style.bar(e.Weight) + " " + text
	}
	p.hops = append(p.hops, hop{e.Hop, e.At.Sub(p.last)})
	p.line(e.At, string(e.Hop), text)
	if e.Hop == chain.Verdict {
		p.tag = ""
	}
	for _, detail := range e.Detail {
		p.printf("%32s%s\n", "", p.style.diff(detail))
	}
}

func (p *printer) line(at time.Time, what, text string) {
	since := fmt.Sprintf("%8s", "+"+seconds(at.Sub(p.last))) // padded first: colours have a length, too
	p.printf("  %8s %s  %s  %s\n", seconds(at.Sub(p.start)), p.style.dim(since), p.style.bold(fmt.Sprintf("%-9s", what)), text)
	p.last = at
}

// end sums up the release: the time of each hop, and of the analysis as a whole.
func (p *printer) end(r chain.Release, outcome chain.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	total := time.Duration(0)
	var names []chain.Hop
	took := map[chain.Hop]time.Duration{}
	for _, h := range p.hops {
		if h.name == chain.Verdict {
			h.name = chain.Analysed
		}
		if _, ok := took[h.name]; !ok {
			names = append(names, h.name)
		}
		took[h.name] += h.took
		total += h.took
	}
	var parts []string
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%s %s", name, seconds(took[name])))
	}
	mark := p.style.green("✓ " + string(outcome))
	if outcome == chain.RolledBack {
		mark = p.style.red("✗ " + string(outcome))
	}
	p.summaries = append(p.summaries, fmt.Sprintf("%s  %s after %s  %s", p.style.bold(r.Tag), mark, seconds(total), p.style.dim(strings.Join(parts, ", "))))
}

func (p *printer) summary(primary string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.printf("\n")
	for _, summary := range p.summaries {
		p.printf("  %s\n", summary)
	}
	p.printf("  The primary runs %s; the bad release never touched it.\n\n", p.style.bold(primary))
}

func (p *printer) controllerLog(c harness.Running) {
	const enough = 4000
	if c != nil {
		p.printf("\n%s\n%s\n", p.style.dim("the end of the controller's log"), c.Tail(enough))
	}
}

// lookAround says how to see for oneself.
func (p *printer) lookAround(s *stage) {
	n := s.chain.Namespace
	p.printf("Everything keeps running until Ctrl-C. In another terminal:\n\n")
	for _, command := range []string{
		"source " + s.dir + "/.playground/env",
		"$SLUICE_KUBECTL -n " + n + " get canary,httproute,deployment,imagepolicy,kustomization",
		"bin/sluice canary describe " + chain.App + " -n " + n + "   # where the release stands, and why",
		"bin/sluice explain policy " + chain.App + " -n " + n,
		"git -C " + s.chain.Repo.Bare + " log -p",
		s.controller.FollowLog(),
		"open " + s.chain.Prometheus + "/graph   # http_request_duration_seconds_count",
	} {
		p.printf("  %s\n", command)
	}
	p.printf("\n")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }
