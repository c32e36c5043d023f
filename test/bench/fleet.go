// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
)

// fleetCase is Kustomizations of four objects each on one GitRepository.
type fleetCase struct {
	engineCase
	size int
	// chain has each of them depend on the one before it.
	chain bool
	// ballast is how many files the repository has that nothing applies.
	ballast int
}

// fleetResult is what a fleet of Kustomizations cost.
type fleetResult struct {
	fleetCase
	// cold is until all are Ready.
	cold usage
	// applied is from the push of one file until it is applied, and revised until all show the revision.
	applied, revised usage
	// asked is a reconcile of all when nothing has changed, and repaired the repair of an object that somebody
	// changed: Flux is asked for it.
	asked, repaired usage
	memory          harness.Memory
}

func measureFleet(ctx context.Context, p *harness.Playground, c fleetCase, dir string) (fleetResult, error) {
	r := fleetResult{fleetCase: c}
	repo, err := p.NewRepo(ctx, c.namespace, dir)
	if err != nil {
		return r, err
	}
	m := fleetMeter{fleetCase: c, p: p, repo: repo, values: valuesOf(p, c.namespace, repo)}
	if err := m.commit(ctx, "Seed", m.all()...); err != nil {
		return r, err
	}
	if m.engine, err = c.start(ctx, p, dir); err != nil {
		return r, err
	}
	defer m.engine.stop()
	if err := m.measureAll(ctx, &r); err != nil {
		return r, m.engine.explain(err)
	}
	r.memory, err = m.engine.memory()
	fmt.Printf("    %s: %d Kustomizations Ready in %v with %v CPU; one file applied in %v, all revised in %v with %v CPU; "+
		"all asked %v CPU; repaired in %v; %v\n",
		c.namespace, c.size, r.cold.took, r.cold.cpu, r.applied.took, r.revised.took, r.revised.cpu, r.asked.cpu, r.repaired.took, r.memory)
	return r, err
}

// fleetMeter measures one fleet.
type fleetMeter struct {
	fleetCase
	p      *harness.Playground
	repo   *harness.Repo
	engine *engine
	values values
	// head is what was committed last, and revision what the manifests of a commit say.
	head     string
	revision int
}

func appName(i int) string { return fmt.Sprintf("app-%04d", i) }

// all are the numbers of all Kustomizations.
func (m *fleetMeter) all() []int {
	numbers := make([]int, m.size)
	for i := range numbers {
		numbers[i] = i
	}
	return numbers
}

// commit changes what some Kustomizations apply.
func (m *fleetMeter) commit(ctx context.Context, message string, apps ...int) (err error) {
	files := map[string][]byte{}
	if m.revision == 0 {
		for i := range m.ballast {
			files[fmt.Sprintf("other/%02d/%05d.yaml", i%100, i)] = []byte(configMap(fmt.Sprintf("other-%d", i)) + ballast)
		}
	}
	m.revision++
	v := m.values
	v.Revision = fmt.Sprint(m.revision)
	for _, i := range apps {
		v.App = appName(i)
		files["apps/"+v.App+"/app.yaml"] = render(appManifests, v)
	}
	m.head, err = m.repo.Commit(ctx, message, files)
	return err
}

// measureAll measures the life of a fleet. If Flux is late with something, that ends it.
func (m *fleetMeter) measureAll(ctx context.Context, r *fleetResult) error {
	err := m.measureLife(ctx, r)
	if late := (*lateError)(nil); m.flux && errors.As(err, &late) {
		fmt.Println("   ", err)
		return nil
	}
	return err
}

func (m *fleetMeter) measureLife(ctx context.Context, r *fleetResult) (err error) {
	if r.cold, err = m.engine.measure(ctx, m.create, m.awaitAll); err != nil {
		return fmt.Errorf("cold: %w", err)
	}
	changed := []int{m.size / 2}
	if m.chain {
		changed = m.all()
	}
	if err := m.commit(ctx, "Change", changed...); err != nil {
		return err
	}
	before, err := m.engine.read()
	if err != nil {
		return err
	}
	if r.applied, err = m.engine.measure(ctx, m.fetch, m.awaitOne); err != nil {
		return fmt.Errorf("one file: %w", err)
	}
	if r.revised, err = m.engine.until(ctx, before, m.awaitAll); err != nil {
		return fmt.Errorf("revision: %w", err)
	}
	if m.chain {
		return nil
	}
	if r.asked, err = m.engine.measure(ctx, m.askAll, m.awaitAsked); err != nil {
		return fmt.Errorf("all asked: %w", err)
	}
	if r.repaired, err = m.engine.measure(ctx, m.drift, m.awaitRepair); err != nil {
		return fmt.Errorf("drift: %w", err)
	}
	return nil
}

// create makes the objects.
func (m *fleetMeter) create(ctx context.Context) error {
	var all strings.Builder
	v := m.values
	for i := range m.size {
		v.App, v.After = appName(i), ""
		if m.chain && i > 0 {
			v.After = appName(i - 1)
		}
		all.Write(render(fleetManifests, v))
		all.WriteString("\n---\n")
	}
	if err := m.p.Apply(ctx, render(sourceManifests, v)); err != nil {
		return err
	}
	return m.p.Apply(ctx, []byte(all.String()))
}

// fetch asks for the commit, as a webhook would.
func (m *fleetMeter) fetch(ctx context.Context) error {
	return request(ctx, m.p, &sourcev1.GitRepository{}, m.namespace, "repo")
}

// askAll asks for a reconcile of all Kustomizations.
func (m *fleetMeter) askAll(ctx context.Context) error {
	for i := range m.size {
		if err := request(ctx, m.p, &kustomizev1.Kustomization{}, m.namespace, appName(i)); err != nil {
			return err
		}
	}
	return nil
}

// drift changes what one Kustomization applied. Flux looks when it is asked, or after spec.interval.
func (m *fleetMeter) drift(ctx context.Context) error {
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: m.namespace, Name: appName(0)}}
	if err := m.p.Client.Patch(ctx, service, client.RawPatch("application/strategic-merge-patch+json",
		[]byte(`{"metadata":{"annotations":{"example.com/revision":"changed"}}}`)), client.FieldOwner("kubectl-edit")); err != nil {
		return err
	}
	if !m.flux {
		return nil
	}
	return request(ctx, m.p, &kustomizev1.Kustomization{}, m.namespace, appName(0))
}

func (m *fleetMeter) awaitRepair(ctx context.Context) error {
	_, err := harness.Eventually(ctx, "the repair", patience, func(ctx context.Context) (bool, string) {
		var service corev1.Service
		err := m.p.Client.Get(ctx, client.ObjectKey{Namespace: m.namespace, Name: appName(0)}, &service)
		return err == nil && service.Annotations["example.com/revision"] != "changed", fmt.Sprint(err)
	})
	return err
}

// awaitOne waits until the last of the Kustomizations that were changed has applied the commit.
func (m *fleetMeter) awaitOne(ctx context.Context) error {
	app := appName(m.size / 2)
	if m.chain {
		app = appName(m.size - 1)
	}
	_, err := harness.Eventually(ctx, "applying "+app, 2*patience, func(ctx context.Context) (bool, string) {
		var k kustomizev1.Kustomization
		if err := m.p.Client.Get(ctx, client.ObjectKey{Namespace: m.namespace, Name: app}, &k); err != nil {
			return false, err.Error()
		}
		return ready(&k, m.head), describe(&k)
	})
	return err
}

// awaitAll waits until every Kustomization is Ready at the commit.
func (m *fleetMeter) awaitAll(ctx context.Context) error {
	return m.await(ctx, func(k *kustomizev1.Kustomization) bool { return ready(k, m.head) })
}

// awaitAsked waits until every Kustomization has done what it was asked for.
func (m *fleetMeter) awaitAsked(ctx context.Context) error {
	return m.await(ctx, func(k *kustomizev1.Kustomization) bool {
		return ready(k, m.head) && k.Status.LastHandledReconcileAt == k.Annotations[meta.ReconcileRequestAnnotation]
	})
}

func (m *fleetMeter) await(ctx context.Context, done func(*kustomizev1.Kustomization) bool) error {
	return crowd{
		namespace: m.namespace, size: m.size, patience: crowdPatience,
		empty: func() client.ObjectList { return &kustomizev1.KustomizationList{} },
		done: func(obj client.Object) bool {
			k, ok := obj.(*kustomizev1.Kustomization)
			return ok && done(k)
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
