// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"cmp"
	"context"
	"embed" // the queries are files of their own, to be read and tried out as such
	"fmt"
	"math"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/provider"
)

//go:embed queries
var queries embed.FS

// builtinSource is whose counters the builtin checks of a canary are about.
type builtinSource struct {
	provider.Queries
	// otherwise are asked if nothing is found; without a folder nobody is.
	otherwise provider.Queries
	// countedBy names, for people, who counts; otherwise has pods.
	countedBy string
	// hint is, for people, who was asked if nothing is found. Empty is that the provider was, which they know.
	hint string
}

// builtin fills in the query of a builtin check. Nobody counts the requests
// of a Service by the pods behind it; a mesh may, and Flagger takes it to be Istio.
func (k *Checker) builtin(ctx context.Context, p *preparedQuery, c *flaggerv1.Canary, name string) error {
	ask, err := k.asked(ctx, c)
	if err != nil {
		return err
	}
	if p.query, err = queryIn(ask.Queries, name); err != nil {
		return fmt.Errorf("reading the query of %s for %s: %w", name, k.proxy(c), err)
	}
	p.scale, p.names, p.hint = asIs, ask.Names, ask.hint
	if name == flaggerv1.RequestDuration {
		p.scale = milliseconds(ask.Duration)
	}
	if ask.otherwise.Folder == "" {
		return nil
	}
	otherwise, err := queryIn(ask.otherwise, name)
	if err != nil {
		return fmt.Errorf("reading the query of %s for pods: %w", name, err)
	}
	if name == flaggerv1.RequestDuration {
		p.query, otherwise = inMilliseconds(p.query, ask.Duration), inMilliseconds(otherwise, ask.otherwise.Duration)
		p.scale = milliseconds(provider.Milliseconds)
	}
	p.query = "(\n" + p.query + "\n)\nor\n(\n(\n" + otherwise + "\n)\nunless on() (\n" + everCounted(ask.Queries) + "\n)\n)"
	return nil
}

// everCounted has a series if proxies that are scraped have counted for any arm, or did so before they were [gone]. A canary that
// these have sent nothing good, or nothing at all, must not be taken for as good as what its pods answer to probes.
func everCounted(ask provider.Queries) string {
	counters := counterTable[ask.Folder]
	selector := specific(counters.arm, ask)
	ever := func(arm counter.Arm, workload string) string {
		of := strings.NewReplacer("{{ arm }}", string(arm), "{{ workload }}", workload).Replace(selector)
		return fmt.Sprintf("count_over_time(%s[%.0fm])", series(counters.requests, of), gone.Minutes())
	}
	return ever(counter.Canary, "{{ target }}") + "\nor\n" + ever(counter.Primary, "{{ target }}-primary")
}

// queryIn is the query of a builtin check, about the canary.
func queryIn(ask provider.Queries, name string) (string, error) {
	query, err := queries.ReadFile("queries/" + ask.Folder + "/" + name + ".promql")
	return strings.ReplaceAll(specific(string(query), ask), "{{ arm }}", string(counter.Canary)), err
}

// specific is a text that several proxies share as one of them is asked.
func specific(text string, ask provider.Queries) string {
	return strings.NewReplacer("{{ backend }}", ask.Backend, "{{ reporter }}", cmp.Or(ask.Reporter, "destination")).Replace(text)
}

func inMilliseconds(query string, unit provider.Unit) string {
	if unit == provider.Milliseconds {
		return query
	}
	return "(\n" + query + "\n) * 1000"
}

// asked says whom to ask.
func (k *Checker) asked(ctx context.Context, c *flaggerv1.Canary) (builtinSource, error) {
	proxy := k.proxy(c)
	counted, _ := provider.Named(proxy)
	ask := builtinSource{Queries: counted.Queries}
	if ask.Folder == "" {
		field := "spec.provider"
		if c.Spec.Provider == "" {
			field = "--mesh-provider"
		}
		return ask, reconcile.TerminalError(fmt.Errorf("%s: no builtin checks for %q, only for %s", field, proxy,
			strings.Join(provider.WithQueries(), ", ")))
	}
	if counted.Implemented {
		return k.implemented(ctx, c, counted)
	}
	if ofService(c) && !ask.SeeServices {
		counted, _ = provider.Named(provider.Istio)
		ask.Queries = counted.Queries
	}
	ask.countedBy = proxiesOf(counted)
	return ask, nil
}

// podsCount is who counts where no proxy does.
const podsCount = "pods"

// proxiesOf names who counts for a provider.
func proxiesOf(counted provider.Provider) string {
	if counted.Queries.Folder == provider.Kubernetes {
		return podsCount
	}
	name, _, _ := strings.Cut(counted.Name, ":")
	return "proxies of " + name
}

// ofService reports whether a canary releases a Service, which has no pods of its own.
func ofService(c *flaggerv1.Canary) bool {
	return c.Spec.TargetRef.Kind == "Service" && !provider.TargetsKnative(c)
}

// proxy is the provider that has counted the requests of a canary. In a cluster
// with Linkerd that is Linkerd, whoever splits the traffic. A mesh counts a
// StatefulSet as a whole; only its pods tell the revisions apart.
func (k *Checker) proxy(c *flaggerv1.Canary) string {
	switch {
	case c.Spec.TargetRef.Kind == "StatefulSet":
		return provider.Kubernetes
	case c.Spec.Provider == "" && !c.HasService():
		return provider.Kubernetes // it has no users, so that it needs no router
	case c.Spec.Provider == "":
		return k.provider
	case strings.Contains(k.provider, provider.Linkerd):
		return provider.Linkerd
	default:
		return c.Spec.Provider
	}
}

// milliseconds returns how to read a duration: as whole milliseconds, so that a
// threshold of 500 means what it has always meant to Flagger: 500.9 ms pass.
func milliseconds(unit provider.Unit) func(float64) float64 {
	if unit == provider.Seconds {
		return func(seconds float64) float64 { return math.Trunc(seconds * 1000) }
	}
	return math.Trunc
}
