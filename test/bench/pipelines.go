// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/harness"
)

// pipelineStages are the stages of each pipeline, in their order.
var pipelineStages = []string{"staging", "canary", "production"}

// pipelineUsage is what pipelines used in some time; git are requests to the Git server,
// those of the GitRepository among them.
type pipelineUsage struct {
	usage
	git int64
}

// pipelineResult is what pipelines of one repository cost: at rest, when one of them gets a
// bundle, and when all do.
type pipelineResult struct {
	size           int
	rest, one, all pipelineUsage
	memory         harness.Memory
}

// pipelineSteps measure one pipeline that has a repository to itself, and many that share
// one.
func pipelineSteps(ctx context.Context, p *harness.Playground, size sizes, r *results) []step {
	return []step{
		{"pipelines-1", func(dir string) (err error) {
			r.lone, err = measurePipelines(ctx, p, dir, 1)
			return err
		}},
		{"pipelines-many", func(dir string) (err error) {
			r.many, err = measurePipelines(ctx, p, dir, size.pipelines)
			return err
		}},
	}
}

func pipelineReport(b *strings.Builder, r results) {
	fmt.Fprintf(b, `
## Pipelines

%d Pipelines of three stages on one repository, beside one that has a repository to itself. Nothing applies the commits, and a
stage is verified when it has what it should. Requests are those that reach the API server and the Git server, counted by
proxies in front of them; those of the GitRepository are among them. CPU is that of the process.

| What | %[1]d pipelines | one pipeline | ratio |
|---|---|---|---|
`, r.many.size)
	row := func(what, format string, many, lone float64) {
		ratio := ""
		if lone > 0 {
			ratio = fmt.Sprintf("%.2f", many/lone)
		}
		fmt.Fprintf(b, "| %s | "+format+" | "+format+" | %s |\n", what, many, lone, ratio)
	}
	row("at rest: API requests per minute, all of them", "%.0f", float64(r.many.rest.requests), float64(r.lone.rest.requests))
	row("at rest: Git requests per minute, all of them", "%.0f", float64(r.many.rest.git), float64(r.lone.rest.git))
	row("at rest: CPU per minute, in ms", "%.0f", milliseconds(r.many.rest.cpu), milliseconds(r.lone.rest.cpu))
	row("one gets a bundle: until it is verified in all its stages, in s", "%.2f", r.many.one.took.Seconds(), r.lone.one.took.Seconds())
	row("one gets a bundle: API requests, all of them", "%.0f", float64(r.many.one.requests), float64(r.lone.one.requests))
	row("one gets a bundle: Git requests, all of them", "%.0f", float64(r.many.one.git), float64(r.lone.one.git))
	row("one gets a bundle: CPU, in ms", "%.0f", milliseconds(r.many.one.cpu), milliseconds(r.lone.one.cpu))
	each := func(n float64) float64 { return n / float64(r.many.size) }
	row("all get a bundle: until all are verified, in s", "%.1f", r.many.all.took.Seconds(), r.lone.all.took.Seconds())
	row("all get a bundle: API requests per pipeline", "%.1f", each(float64(r.many.all.requests)), float64(r.lone.all.requests))
	row("all get a bundle: Git requests per pipeline", "%.1f", each(float64(r.many.all.git)), float64(r.lone.all.git))
	row("all get a bundle: CPU per pipeline, in ms", "%.1f", each(milliseconds(r.many.all.cpu)), milliseconds(r.lone.all.cpu))
	row("resident memory, in MiB", "%.0f", mebibytes(r.many.memory.Resident), mebibytes(r.lone.memory.Resident))
}

// pipelineMeter measures pipelines in one namespace.
type pipelineMeter struct {
	p         *harness.Playground
	namespace string
	size      int
	repo      *harness.Repo
	git       *gitCounter
	subject   *subject
}

// measurePipelines has no controller of images and none that applies: the first is another
// benchmark, and what the second costs is not what a pipeline does. The stages are verified
// when they have what they should.
func measurePipelines(ctx context.Context, p *harness.Playground, dir string, size int) (pipelineResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := pipelineResult{size: size}
	m := &pipelineMeter{p: p, namespace: fmt.Sprintf("bench-pipelines-%d", size), size: size}
	if err := m.create(ctx, dir); err != nil {
		return r, err
	}
	defer m.git.close()
	count, through, err := countRequests(ctx, p, dir)
	if err != nil {
		return r, err
	}
	controller, err := through.StartController(ctx, dir, "--controllers=source,promotion", "--watch-namespace", m.namespace)
	if err != nil {
		return r, err
	}
	defer controller.Stop()
	m.subject = &subject{Process: controller.Process, count: count}
	if err := m.measure(ctx, &r); err != nil {
		return r, fmt.Errorf("%w\nlast lines of the controller's log:\n%s", err, controller.Tail(3000))
	}
	return r, nil
}

// measure begins when all have what their policies chose. What one costs is measured when
// all have pushed before: each knows its own push best, and has to learn of those of others.
func (m *pipelineMeter) measure(ctx context.Context, r *pipelineResult) error {
	all := func(tag string) func(context.Context) error {
		return func(ctx context.Context) error {
			if err := m.release(ctx, tag, 0, m.size); err != nil {
				return err
			}
			return m.await(ctx, func(string) string { return tag })
		}
	}
	steps := []struct {
		what string
		into *pipelineUsage
		do   func(context.Context) error
	}{
		{"start", nil, all("1.0.0")},
		{"all", &r.all, all("1.1.0")},
		{"one", &r.one, func(ctx context.Context) error {
			if err := m.release(ctx, "1.2.0", 0, 1); err != nil {
				return err
			}
			return m.await(ctx, func(app string) string {
				if app == appName(0) {
					return "1.2.0"
				}
				return "1.1.0"
			})
		}},
		{"rest", &r.rest, func(ctx context.Context) error { return pause(ctx, restTime) }},
	}
	for _, step := range steps {
		used, err := m.use(ctx, step.do)
		if err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		if step.into != nil {
			*step.into = used
		}
		fmt.Printf("    %d pipelines, %s: %v, %v CPU, %d API requests of which %d write, %d Git requests\n      %s\n", m.size, step.what,
			used.took.Round(time.Millisecond), used.cpu, used.requests, used.writes, used.git, m.subject.count.most())
	}
	var err error
	r.memory, err = m.subject.Memory()
	return err
}

// use is what something used until all was quiet again.
func (m *pipelineMeter) use(ctx context.Context, do func(context.Context) error) (pipelineUsage, error) {
	before, err := m.subject.read()
	if err != nil {
		return pipelineUsage{}, err
	}
	git := m.git.requests.Load()
	if err := do(ctx); err != nil {
		return pipelineUsage{}, err
	}
	took := time.Since(before.at)
	after, err := m.quiet(ctx)
	used := pipelineUsage{usage: after.since(before), git: m.git.requests.Load() - git}
	used.took = took
	return used, err
}

// quiet waits until nothing was asked for a while.
func (m *pipelineMeter) quiet(ctx context.Context) (reading, error) {
	var last reading
	_, err := harness.Eventually(ctx, "the pipelines are at rest", patience, func(ctx context.Context) (bool, string) {
		before := m.subject.count.requests.Load() + m.git.requests.Load()
		if err := pause(ctx, quietTime); err != nil {
			return false, err.Error()
		}
		var err error
		if last, err = m.subject.read(); err != nil {
			return false, err.Error()
		}
		return m.subject.count.requests.Load()+m.git.requests.Load() == before, "requests go on"
	})
	return last, err
}

// quietTime is how long nothing is asked when all is done.
const quietTime = 3 * time.Second

// create makes a repository and all objects before anybody serves them.
func (m *pipelineMeter) create(ctx context.Context, dir string) error {
	var err error
	if m.repo, err = m.p.NewRepo(ctx, m.namespace, dir); err != nil {
		return err
	}
	files := map[string][]byte{}
	for i := range m.size {
		for _, stage := range pipelineStages {
			files[fmt.Sprintf("%s/%s/app.yaml", stage, appName(i))] = fmt.Appendf(nil,
				"kind: ConfigMap\ndata:\n  tag: 1.0.0 # {\"$imagepolicy\": \"%s:%s:tag\"}\n", m.namespace, appName(i))
		}
	}
	if _, err := m.repo.Commit(ctx, "Begin", files); err != nil {
		return err
	}
	if m.git, err = countGit(m.repo.URL); err != nil {
		return err
	}
	v := valuesOf(m.p, m.namespace, m.repo)
	v.URL = m.git.url
	if err := m.p.Apply(ctx, render(sourceManifests, v)); err != nil {
		return err
	}
	return m.each(ctx, 0, m.size, func(ctx context.Context, app string) error {
		v := v
		v.App = app
		return m.p.Apply(ctx, render(pipelineManifests, v))
	})
}

// each does something for some apps, a few at a time.
func (m *pipelineMeter) each(ctx context.Context, from, to int, do func(ctx context.Context, app string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := from; i < to; i++ {
		group.Go(func() error { return do(ctx, appName(i)) })
	}
	return group.Wait()
}

// release has policies choose a tag, as their controller would.
func (m *pipelineMeter) release(ctx context.Context, tag string, from, to int) error {
	return m.each(ctx, from, to, func(ctx context.Context, app string) error {
		policy := &imagev1.ImagePolicy{}
		policy.Namespace, policy.Name = m.namespace, app
		patch := fmt.Appendf(nil, `{"status":{"latestRef":{"name":"registry.example.com/%s","tag":%q},"observedGeneration":1,"conditions":[`+
			`{"type":"Ready","status":"True","reason":"Succeeded","message":"","lastTransitionTime":"2026-01-01T00:00:00Z",`+
			`"observedGeneration":1}]}}`, app, tag)
		return m.p.Client.Status().Patch(ctx, policy, client.RawPatch("application/merge-patch+json", patch))
	})
}

// await waits until all stages of all pipelines are verified with what an app should have.
func (m *pipelineMeter) await(ctx context.Context, want func(app string) string) error {
	return crowd{
		namespace: m.namespace, size: m.size, patience: crowdPatience,
		empty: func() client.ObjectList { return &sluicev1.PipelineList{} },
		done: func(obj client.Object) bool {
			p, ok := obj.(*sluicev1.Pipeline)
			if !ok || len(p.Status.Stages) != len(pipelineStages) {
				return false
			}
			for _, stage := range p.Status.Stages {
				if stage.Phase != sluicev1.StageVerified || stage.Has == nil || stage.Has.Versions[0].Tag != want(p.Name) {
					return false
				}
			}
			return true
		},
	}.await(ctx, m.p)
}

// gitCounter stands between controllers and a Git server, and counts.
type gitCounter struct {
	url      string
	requests atomic.Int64
	close    func()
}

func countGit(repo string) (*gitCounter, error) {
	u, err := url.Parse(repo)
	if err != nil {
		return nil, err
	}
	server := &url.URL{Scheme: u.Scheme, Host: u.Host}
	address, err := harness.FreeAddr()
	if err != nil {
		return nil, err
	}
	c := &gitCounter{url: strings.Replace(repo, u.Host, address, 1)}
	back := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(server) }, FlushInterval: -1}
	front := &http.Server{
		Addr: address, ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			c.requests.Add(1)
			back.ServeHTTP(rw, r)
		}),
	}
	c.close = func() { _ = front.Close() }
	go func() { _ = front.ListenAndServe() }()
	return c, nil
}
