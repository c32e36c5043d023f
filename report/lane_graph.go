// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"slices"
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"
	"k8s.io/apimachinery/pkg/types"
)

// graph finds the objects of the cluster by what refers to them.
type graph struct {
	Objects
	repositories   map[types.NamespacedName]*imagev1.ImageRepository
	kustomizations map[types.NamespacedName]*kustomizev1.Kustomization
	sources        map[ObjectReference]*Source
	canaries       map[ObjectReference]*flaggerv1.Canary // by their target
	workloads      map[ObjectReference]*Workload
	policies       map[string][]*imagev1.ImagePolicy           // by the name of their image
	automations    map[string][]*imagev1.ImageUpdateAutomation // by namespace
	pipelines      map[types.NamespacedName][]*sluicev1.Pipeline
	names          map[string]string // of images, by how they are written
}

// chain is what carries one application's versions to its users. Any part may be missing.
type chain struct {
	graph           *graph
	namespace, name string
	repository      *imagev1.ImageRepository
	policy          *imagev1.ImagePolicy
	automation      *imagev1.ImageUpdateAutomation
	source          *Source
	kustomization   *kustomizev1.Kustomization
	canary          *flaggerv1.Canary
	workload        *Workload // that users reach: the primary of a Canary
	target          *Workload // that the Kustomization applies
}

func newGraph(o Objects) *graph {
	g := &graph{
		Objects:        o,
		repositories:   map[types.NamespacedName]*imagev1.ImageRepository{},
		kustomizations: map[types.NamespacedName]*kustomizev1.Kustomization{},
		sources:        map[ObjectReference]*Source{}, canaries: map[ObjectReference]*flaggerv1.Canary{},
		workloads: map[ObjectReference]*Workload{}, policies: map[string][]*imagev1.ImagePolicy{},
		automations: map[string][]*imagev1.ImageUpdateAutomation{}, pipelines: map[types.NamespacedName][]*sluicev1.Pipeline{},
		names: map[string]string{},
	}
	for i := range o.Repositories {
		r := &o.Repositories[i]
		g.repositories[types.NamespacedName{Namespace: r.Namespace, Name: r.Name}] = r
	}
	for i := range o.Kustomizations {
		k := &o.Kustomizations[i]
		g.kustomizations[types.NamespacedName{Namespace: k.Namespace, Name: k.Name}] = k
	}
	for i := range o.Sources {
		s := &o.Sources[i]
		g.sources[ObjectReference{s.Kind, s.Namespace, s.Name}] = s
	}
	for i := range o.Workloads {
		w := &o.Workloads[i]
		g.workloads[ObjectReference{w.Kind, w.Namespace, w.Name}] = w
	}
	for i := range o.Canaries {
		c := &o.Canaries[i]
		g.canaries[ObjectReference{c.Spec.TargetRef.Kind, c.Namespace, c.Spec.TargetRef.Name}] = c
	}
	g.addImages()
	return g
}

// addImages finds policies by their image, and what writes and carries them.
func (g *graph) addImages() {
	for i := range g.Policies {
		p := &g.Policies[i]
		image := ""
		if r := g.repositories[RepositoryOf(p)]; r != nil {
			image = r.Spec.Image
		} else if p.Status.LatestRef != nil {
			image = p.Status.LatestRef.Name
		}
		if image = g.imageName(image); image != "" {
			g.policies[image] = append(g.policies[image], p)
		}
	}
	for i := range g.Automations {
		a := &g.Automations[i]
		g.automations[a.Namespace] = append(g.automations[a.Namespace], a)
	}
	for i := range g.Pipelines {
		p := &g.Pipelines[i]
		for _, artifact := range p.Spec.Artifacts {
			if ref := artifact.ImagePolicyRef; ref != nil {
				key := types.NamespacedName{Namespace: p.Namespace, Name: ref.Name}
				g.pipelines[key] = append(g.pipelines[key], p)
			}
		}
	}
}

// imageName is the name of an image without tag and digest, with the registry that is meant where none is written.
func (g *graph) imageName(image string) string {
	if image == "" {
		return ""
	}
	if known, ok := g.names[image]; ok {
		return known
	}
	found := ""
	if ref, err := name.ParseReference(image, name.WeakValidation); err == nil {
		found = ref.Context().Name()
	}
	g.names[image] = found
	return found
}

// chains finds one for each application.
func (g *graph) chains() []*chain {
	var found []*chain
	placed := map[any]bool{}
	for i := range g.Workloads {
		w := &g.Workloads[i]
		if c := g.chainOf(w); c != nil {
			found = append(found, c)
			placed[c.policy], placed[c.kustomization], placed[c.canary] = true, true, true
		}
	}
	for i := range g.Canaries {
		if c := &g.Canaries[i]; !placed[c] { // its target is not there, or of another kind
			found = append(found, &chain{graph: g, namespace: c.Namespace, name: c.Spec.TargetRef.Name, canary: c})
		}
	}
	for i := range g.Policies {
		p := &g.Policies[i]
		if !placed[p] {
			c := &chain{graph: g, namespace: p.Namespace, name: p.Name}
			c.setPolicy(p)
			c.followAutomation()
			placed[c.kustomization] = true
			found = append(found, c)
		}
	}
	for i := range g.Kustomizations {
		k := &g.Kustomizations[i]
		if !placed[k] {
			c := &chain{graph: g, namespace: k.Namespace, name: k.Name}
			c.setKustomization(k)
			found = append(found, c)
		}
	}
	return found
}

// chainOf is the chain of a workload; nil if it is a copy that a Canary made, or nothing of ours.
func (g *graph) chainOf(w *Workload) *chain {
	if w.Primary {
		return nil
	}
	c := &chain{graph: g, namespace: w.Namespace, name: w.Name, workload: w, target: w}
	if c.canary = g.canaries[ObjectReference{w.Kind, w.Namespace, w.Name}]; c.canary != nil {
		if primary := g.workloads[ObjectReference{w.Kind, w.Namespace, flaggerv1.PrimaryName(w.Name)}]; primary != nil && primary.Primary {
			c.workload = primary
		}
	}
	c.setKustomization(g.kustomizations[types.NamespacedName{Namespace: w.Kustomization.Namespace, Name: w.Kustomization.Name}])
	c.setPolicy(c.choosePolicy(w.Images))
	if c.policy == nil && c.kustomization == nil && c.canary == nil {
		return nil
	}
	return c
}

func (c *chain) setKustomization(k *kustomizev1.Kustomization) {
	if c.kustomization = k; k != nil {
		ref := k.Spec.SourceRef
		c.source = c.graph.sources[ObjectReference{ref.Kind, cmp.Or(ref.Namespace, k.Namespace), ref.Name}]
	}
}

// setPolicy takes a policy with what scans for it, and with what writes it: of several automations the one that writes
// to the source of the lane.
func (c *chain) setPolicy(p *imagev1.ImagePolicy) {
	if p == nil {
		return
	}
	c.policy, c.repository = p, c.graph.repositories[RepositoryOf(p)]
	for _, a := range c.graph.automations[p.Namespace] {
		if _, writes := a.Status.ObservedPolicies[p.Name]; writes && (c.automation == nil || c.writesSource(a)) {
			c.automation = a
		}
	}
}

// writesSource reports whether an automation writes to the source of the lane.
func (c *chain) writesSource(a *imagev1.ImageUpdateAutomation) bool {
	return c.source != nil && sourceOf(a) == ObjectReference{c.source.Kind, c.source.Namespace, c.source.Name}
}

func sourceOf(a *imagev1.ImageUpdateAutomation) ObjectReference {
	ref := a.Spec.SourceRef
	return ObjectReference{ref.Kind, cmp.Or(ref.Namespace, a.Namespace), ref.Name}
}

// choosePolicy finds the policy that chooses one of the images: of several the one whose Pipeline has the lane as a stage, that is
// written to the source of the lane, that chose what runs, that is of the same namespace. That somebody elsewhere has a policy
// for the same image alone says nothing.
func (c *chain) choosePolicy(images []string) *imagev1.ImagePolicy {
	var best *imagev1.ImagePolicy
	most := -1
	for _, image := range images {
		for _, p := range c.graph.policies[c.graph.imageName(image)] {
			if points := c.fit(p, image); points > most || best != nil && points == most && before(p, best) {
				best, most = p, points
			}
		}
	}
	return best
}

// fit is how much speaks for a policy to be the one that chooses an image of the lane; -1 if nothing leads from one to the other.
func (c *chain) fit(p *imagev1.ImagePolicy, image string) int {
	points, linked := 0, p.Namespace == c.namespace
	if c.graph.carries(p, c) {
		points, linked = 8, true
	}
	for _, a := range c.graph.automations[p.Namespace] {
		_, writes := a.Status.ObservedPolicies[p.Name]
		switch {
		case writes && c.writesSource(a):
			points, linked = points|4, true
		case writes && c.source == nil: // somebody else applies what is written
			linked = true
		}
	}
	if !linked {
		return -1
	}
	if latest := p.Status.LatestRef; latest != nil && latest.Tag != "" && strings.Contains(image, ":"+latest.Tag) {
		points += 2
	}
	if p.Namespace == c.namespace {
		points++
	}
	return points
}

// carries reports whether a Pipeline carries the versions of a policy to a stage that a lane judges.
func (g *graph) carries(p *imagev1.ImagePolicy, c *chain) bool {
	for _, pipeline := range g.pipelines[types.NamespacedName{Namespace: p.Namespace, Name: p.Name}] {
		for i := range pipeline.Spec.Stages {
			if c.isJudgedIn(pipeline, &pipeline.Spec.Stages[i]) {
				return true
			}
		}
	}
	return false
}

func before(a, b *imagev1.ImagePolicy) bool {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name)) < 0
}

// followAutomation finds the source of a policy that no workload has the image of, and the Kustomization if there is
// only one.
func (c *chain) followAutomation() {
	if c.automation == nil {
		return
	}
	ref := sourceOf(c.automation)
	if c.source = c.graph.sources[ref]; c.source == nil {
		return
	}
	var of []*kustomizev1.Kustomization
	for i := range c.graph.Kustomizations {
		k := &c.graph.Kustomizations[i]
		if (ObjectReference{k.Spec.SourceRef.Kind, cmp.Or(k.Spec.SourceRef.Namespace, k.Namespace), k.Spec.SourceRef.Name}) == ref {
			of = append(of, k)
		}
	}
	if len(of) == 1 {
		c.kustomization = of[0]
	}
}

// key is made of the object that the lane is about.
func (c *chain) key() string {
	kind := "Kustomization"
	switch {
	case c.target != nil:
		kind = c.target.Kind
	case c.canary != nil:
		kind = flaggerv1.CanaryKind
	case c.policy != nil:
		kind = imagev1.ImagePolicyKind
	}
	return strings.Join([]string{kind, c.namespace, c.name}, "/")
}

// pipelinesOfPolicy are the pipelines that take versions that the policy of the lane chooses, by name.
func (c *chain) pipelinesOfPolicy() []*sluicev1.Pipeline {
	if c.policy == nil {
		return nil
	}
	pipelines := slices.Clone(c.graph.pipelines[types.NamespacedName{Namespace: c.policy.Namespace, Name: c.policy.Name}])
	slices.SortFunc(pipelines, func(a, b *sluicev1.Pipeline) int { return strings.Compare(a.Name, b.Name) })
	return pipelines
}
