// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/test/harness"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// patience bounds every wait of the benchmarks.
const patience = harness.Patience

// releaseCase is one repository to release into.
type releaseCase struct {
	dir, name string
	// files are in the repository; marked of them name the image.
	files, marked, releases int
	// webhook: the registry tells a Receiver, instead of a person asking for a scan.
	webhook bool
}

// releaseResult holds the medians over the releases.
type releaseResult struct {
	toCommit, toApplied, cpu time.Duration
}

func measureReleases(ctx context.Context, p *harness.Playground, c releaseCase) (releaseResult, error) {
	repo, err := seedRelease(ctx, p, c)
	if err != nil {
		return releaseResult{}, err
	}
	sluice, err := p.StartController(ctx, c.dir, "--watch-namespace", c.name)
	if err != nil {
		return releaseResult{}, err
	}
	defer sluice.Stop()
	v := valuesOf(p, c.name, repo)
	for _, t := range [][]byte{render(sourceManifests, v), render(releaseManifests, v), render(hookManifests, v)} {
		if err := p.Apply(ctx, t); err != nil {
			return releaseResult{}, err
		}
	}
	m := releaseMeter{p: p, repo: repo, name: c.name, sluice: sluice, announce: (*releaseMeter).request}
	if c.webhook {
		m.announce = (*releaseMeter).hook
	}
	if err := m.awaitApplied(ctx); err != nil {
		return releaseResult{}, err
	}
	var all []releaseResult
	for i := range c.releases {
		r, err := m.release(ctx, fmt.Sprintf("1.%d.0", i+1))
		if err != nil {
			return releaseResult{}, fmt.Errorf("%w\nlast lines of the controller's log:\n%s", err, sluice.Tail(3000))
		}
		fmt.Printf("    %d files, %d changed: push to commit %v, commit to applied %v, %v CPU\n",
			c.files, c.marked, r.toCommit, r.toApplied, r.cpu)
		all = append(all, r)
	}
	return releaseResult{
		toCommit:  median(all, func(r releaseResult) time.Duration { return r.toCommit }),
		toApplied: median(all, func(r releaseResult) time.Duration { return r.toApplied }),
		cpu:       median(all, func(r releaseResult) time.Duration { return r.cpu }),
	}, nil
}

// seedRelease fills a repository: marked manifests, and files beside them. The
// first is what the Kustomization applies.
func seedRelease(ctx context.Context, p *harness.Playground, c releaseCase) (*harness.Repo, error) {
	if _, err := p.PushImage(ctx, c.name, "1.0.0", nil); err != nil {
		return nil, err
	}
	repo, err := p.NewRepo(ctx, c.name, c.dir)
	if err != nil {
		return nil, err
	}
	image := fmt.Sprintf("  image: %s/%s:1.0.0 # {\"$imagepolicy\": \"%s:app\"}\n", p.Registry, c.name, c.name)
	files := map[string][]byte{"deploy/config.yaml": []byte(configMap("app") + image)}
	for i := range c.files - 1 {
		content := configMap(fmt.Sprintf("other-%d", i))
		if i < c.marked-1 {
			content += image
		}
		content += ballast
		files[fmt.Sprintf("other/%02d/%05d.yaml", i%100, i)] = []byte(content)
	}
	_, err = repo.Commit(ctx, "Seed", files)
	return repo, err
}

// ballast makes a ConfigMap as long as a usual manifest.
var ballast = "  text: |\n" + strings.Repeat("    some text of a usual manifest\n", 60)

// configMap is the head of a manifest that data may follow.
func configMap(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\ndata:\n"
}

// releaseMeter makes releases and times their hops.
type releaseMeter struct {
	p      *harness.Playground
	repo   *harness.Repo
	name   string
	sluice *harness.Controller
	// announce says that an image was pushed.
	announce func(*releaseMeter, context.Context) error
}

// request asks for a scan, as `flux reconcile` does.
func (m *releaseMeter) request(ctx context.Context) error {
	return request(ctx, m.p, &imagev1.ImageRepository{}, m.name, "app")
}

// hook tells the Receiver, as a registry does.
func (m *releaseMeter) hook(ctx context.Context) error {
	var receiver notificationv1.Receiver
	if err := m.p.Client.Get(ctx, client.ObjectKey{Namespace: m.name, Name: "hook"}, &receiver); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.sluice.Webhooks+receiver.Status.WebhookPath, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the webhook answers %s", resp.Status)
	}
	return errors.Join(err, resp.Body.Close())
}

func (m *releaseMeter) release(ctx context.Context, tag string) (releaseResult, error) {
	before, err := m.repo.Head(ctx)
	if err != nil {
		return releaseResult{}, err
	}
	if _, err := m.p.PushImage(ctx, m.name, tag, nil); err != nil {
		return releaseResult{}, err
	}
	cpu, err := m.sluice.CPU()
	if err != nil {
		return releaseResult{}, err
	}
	var r releaseResult
	start := time.Now()
	if err := m.announce(m, ctx); err != nil {
		return r, err
	}
	if _, err := harness.Eventually(ctx, "the commit of "+tag, patience, func(ctx context.Context) (bool, string) {
		head, err := m.repo.Head(ctx)
		return err == nil && head != before, head
	}); err != nil {
		return r, err
	}
	r.toCommit = time.Since(start)
	if err := m.awaitApplied(ctx); err != nil {
		return r, err
	}
	r.toApplied = time.Since(start) - r.toCommit
	used, err := m.sluice.CPU()
	r.cpu = used - cpu
	return r, err
}

// awaitApplied waits until the Kustomization has applied the branch's head.
func (m *releaseMeter) awaitApplied(ctx context.Context) error {
	head, err := m.repo.Head(ctx)
	if err != nil {
		return err
	}
	_, err = harness.Eventually(ctx, "applying "+head, patience, func(ctx context.Context) (bool, string) {
		var k kustomizev1.Kustomization
		if err := m.p.Client.Get(ctx, client.ObjectKey{Namespace: m.name, Name: "app"}, &k); err != nil {
			return false, err.Error()
		}
		return ready(&k, head), describe(&k)
	})
	return err
}

// request asks for a reconcile of one object now, as `flux reconcile` does.
func request(ctx context.Context, p *harness.Playground, obj client.Object, namespace, name string) error {
	obj.SetNamespace(namespace)
	obj.SetName(name)
	_, err := p.RequestReconcile(ctx, obj)
	return err
}

func median(all []releaseResult, of func(releaseResult) time.Duration) time.Duration {
	values := make([]time.Duration, 0, len(all))
	for _, r := range all {
		values = append(values, of(r))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
