// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-cd/sluice/test/harness"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fleetResult is what a fleet of Kustomizations cost.
type fleetResult struct {
	cold, coldCPU             time.Duration
	applied, revised, pushCPU time.Duration
	memory                    harness.Memory
}

const fleetName = "bench-fleet"

func measureFleet(ctx context.Context, p *harness.Playground, dir string, size int) (fleetResult, error) {
	var r fleetResult
	repo, err := p.NewRepo(ctx, fleetName, dir)
	if err != nil {
		return r, err
	}
	v := valuesOf(p, fleetName, repo)
	files := map[string][]byte{}
	for i := range size {
		v.App, v.Revision = appName(i), "1"
		files["apps/"+v.App+"/app.yaml"] = render(appManifests, v)
	}
	head, err := repo.Commit(ctx, "Seed", files)
	if err != nil {
		return r, err
	}
	sluice, err := p.StartController(ctx, dir, "--concurrent", "20", "--watch-namespace", fleetName)
	if err != nil {
		return r, err
	}
	defer sluice.Stop()
	m := fleetMeter{p: p, repo: repo, size: size, sluice: sluice}
	if r.cold, r.coldCPU, err = m.cold(ctx, v, head); err == nil {
		err = m.push(ctx, v, &r)
	}
	if err != nil {
		return r, fmt.Errorf("%w\nlast lines of the controller's log:\n%s", err, sluice.Tail(3000))
	}
	r.memory, err = sluice.Memory()
	fmt.Printf("    %d Kustomizations: Ready in %v with %v CPU; one file: applied in %v, all revised in %v with %v CPU; %v\n",
		size, r.cold, r.coldCPU, r.applied, r.revised, r.pushCPU, r.memory)
	return r, err
}

func appName(i int) string { return fmt.Sprintf("app-%03d", i) }

type fleetMeter struct {
	p      *harness.Playground
	repo   *harness.Repo
	size   int
	sluice *harness.Controller
}

// cold creates the fleet and waits until all of it is Ready.
func (m *fleetMeter) cold(ctx context.Context, v values, head string) (time.Duration, time.Duration, error) {
	var all strings.Builder
	for i := range m.size {
		v.App = appName(i)
		all.Write(render(fleetManifests, v))
		all.WriteString("\n---\n")
	}
	before, err := m.sluice.CPU()
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	for _, data := range [][]byte{render(sourceManifests, v), []byte(all.String())} {
		if err := m.p.Apply(ctx, data); err != nil {
			return 0, 0, err
		}
	}
	if err := m.awaitAll(ctx, head); err != nil {
		return 0, 0, err
	}
	took := time.Since(start)
	after, err := m.sluice.CPU()
	return took, after - before, err
}

// push changes one file of one Kustomization.
func (m *fleetMeter) push(ctx context.Context, v values, r *fleetResult) error {
	v.App, v.Revision = appName(m.size/2), "2"
	head, err := m.repo.Commit(ctx, "Change one", map[string][]byte{"apps/" + v.App + "/app.yaml": render(appManifests, v)})
	if err != nil {
		return err
	}
	before, err := m.sluice.CPU()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := request(ctx, m.p, &sourcev1.GitRepository{}, fleetName, "repo"); err != nil {
		return err
	}
	if _, err := harness.Eventually(ctx, "applying the changed file", patience, func(ctx context.Context) (bool, string) {
		var k kustomizev1.Kustomization
		if err := m.p.Client.Get(ctx, client.ObjectKey{Namespace: fleetName, Name: v.App}, &k); err != nil {
			return false, err.Error()
		}
		return ready(&k, head), describe(&k)
	}); err != nil {
		return err
	}
	r.applied = time.Since(start)
	if err := m.awaitAll(ctx, head); err != nil {
		return err
	}
	r.revised = time.Since(start)
	after, err := m.sluice.CPU()
	r.pushCPU = after - before
	return err
}

// awaitAll waits until every Kustomization is Ready at the commit.
func (m *fleetMeter) awaitAll(ctx context.Context, head string) error {
	return crowd{
		namespace: fleetName, size: m.size,
		empty: func() client.ObjectList { return &kustomizev1.KustomizationList{} },
		done: func(obj client.Object) bool {
			k, ok := obj.(*kustomizev1.Kustomization)
			return ok && ready(k, head)
		},
	}.await(ctx, m.p)
}

// ready reports whether the Kustomization is Ready at the commit.
func ready(k *kustomizev1.Kustomization, head string) bool {
	return strings.HasSuffix(k.Status.LastAppliedRevision, head) && apimeta.IsStatusConditionTrue(k.Status.Conditions, meta.ReadyCondition)
}

func describe(k *kustomizev1.Kustomization) string {
	c := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
	if c == nil {
		return k.Name + " has no Ready condition"
	}
	return fmt.Sprintf("%s Ready=%s %s: %s", k.Name, c.Status, c.Reason, c.Message)
}
