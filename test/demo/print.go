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

	byStage   bool // there is a pipeline, and a column for its stages
	tag       string
	start     time.Time // of the release
	last      time.Time // of the entry before
	steps     []step
	summaries []string
}

// step is how long one step of the current release took; with a pipeline what happens in
// a stage is one step.
type step struct {
	name string
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

// hint prints what people can do, if anything.
func (p *printer) hint(lines []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, line := range lines {
		if i == 0 {
			p.printf("\n")
		}
		p.printf("  %s\n", p.style.bold(line))
	}
}

func (p *printer) begin(r chain.Release, node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kind := "a good release"
	if r.Traits.ErrorRate > 0 {
		whose := ""
		if r.Traits.ErrorNamespace != "" {
			whose = " to users of " + r.Traits.ErrorNamespace
		}
		kind = fmt.Sprintf("a bad release: %.0f%% of its answers%s are errors", r.Traits.ErrorRate*100, whose)
		if node == "real" {
			kind = "a bad release: a third of its answers are errors"
		}
	}
	p.tag, p.steps, p.start = r.Tag, nil, p.now()
	p.last = p.start
	p.printf("\n%s %s\n", p.style.bold(r.Tag), p.style.dim("· "+kind))
}

func (p *printer) pushed(image string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(chain.Entry{At: p.now(), Step: "pushed"}, image)
}

// entry prints one line of the timeline, which begins when the tag is seen and
// ends with the verdict, without a pipeline that of the only canary. What comes before
// and after is about other versions.
func (p *printer) entry(e chain.Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tag == "" || len(p.steps) == 0 && e.Step != chain.Seen {
		return
	}
	text := e.Text
	switch {
	case e.Warning:
		text = p.style.red(text)
	case e.Step == chain.Verdict, e.Step == chain.Verified:
		text = p.style.green(text)
	}
	if e.Weight >= 0 {
		text = p.style.bar(e.Weight) + " " + text
	}
	p.steps = append(p.steps, step{stepOf(e), e.At.Sub(p.last)})
	p.line(e, text)
	if e.Step == chain.Verdict && !p.byStage {
		p.tag = ""
	}
	for _, detail := range e.Detail {
		p.printf("%32s%s\n", "", p.style.diff(detail))
	}
}

// stepOf is the step that an entry ends.
func stepOf(e chain.Entry) string {
	switch {
	case e.Stage != "":
		return e.Stage
	case e.Step == chain.Verdict:
		return string(chain.Analysed)
	}
	return string(e.Step)
}

func (p *printer) line(e chain.Entry, text string) {
	since := fmt.Sprintf("%8s", "+"+seconds(e.At.Sub(p.last))) // padded first: colours have a length, too
	what := p.style.bold(fmt.Sprintf("%-9s", e.Step))
	if p.byStage {
		what = fmt.Sprintf("%-10s  %s", e.Stage, p.style.bold(fmt.Sprintf("%-10s", e.Step)))
	}
	p.printf("  %8s %s  %s  %s\n", seconds(e.At.Sub(p.start)), p.style.dim(since), what, text)
	p.last = e.At
}

// end sums up the release: the time of each step.
func (p *printer) end(r chain.Release, outcome chain.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tag = ""
	total := time.Duration(0)
	var names []string
	took := map[string]time.Duration{}
	for _, h := range p.steps {
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
	p.summaries = append(p.summaries,
		fmt.Sprintf("%s  %s after %s  %s", p.style.bold(r.Tag), mark, seconds(total), p.style.dim(strings.Join(parts, ", "))))
}

func (p *printer) summary(m conclusion) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.printf("\n")
	for _, line := range m.output {
		p.printf("  %s\n", line)
	}
	if len(m.output) > 0 {
		p.printf("\n")
	}
	for _, summary := range p.summaries {
		p.printf("  %s\n", summary)
	}
	p.printf("  %s runs %s%s\n\n", m.where, p.style.bold(m.image), m.rest)
}

func (p *printer) controllerLog(c harness.Running) {
	const enough = 4000
	if c != nil {
		p.printf("\n%s\n%s\n", p.style.dim("the end of the controller's log"), c.Tail(enough))
	}
}

// access says how to see for oneself.
func (p *printer) access(s *demo) {
	p.printf("Everything keeps running until Ctrl-C. In another terminal:\n\n")
	commands := append([]string{"source " + s.dir + "/.playground/env"}, s.story.commands()...)
	for _, command := range append(commands, s.controller.FollowLog()) {
		p.printf("  %s\n", command)
	}
	p.printf("\n")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }
