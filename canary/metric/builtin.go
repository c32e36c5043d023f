// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"embed" // the queries are files of their own, to be read and tried out as such
	"fmt"
	"math"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

//go:embed queries
var queries embed.FS

// builtin fills in the query of a builtin check. Nobody counts the requests
// of a Service by the pods behind it; a mesh may, and Flagger takes it to be Istio.
func (k *Checker) builtin(p *preparedQuery, c *flaggerv1.Canary, name string) error {
	ask, err := k.asked(c)
	if err != nil {
		return err
	}
	query, err := queries.ReadFile("queries/" + ask.Folder + "/" + name + ".promql")
	if err != nil {
		return fmt.Errorf("reading the query of %s for %s: %w", name, k.proxy(c), err)
	}
	p.query, p.scale, p.names = string(query), asIs, ask.Names
	if name == flaggerv1.RequestDuration {
		p.scale = milliseconds(ask.Duration)
	}
	return nil
}

// asked is whose counters the builtin checks of a canary are about.
func (k *Checker) asked(c *flaggerv1.Canary) (provider.Queries, error) {
	proxy := k.proxy(c)
	counted, _ := provider.Named(proxy)
	ask := counted.Queries
	if ask.Folder == "" {
		field := "spec.provider"
		if c.Spec.Provider == "" {
			field = "--mesh-provider"
		}
		return ask, reconcile.TerminalError(fmt.Errorf("%s: no builtin checks for %q, only for %s", field, proxy,
			strings.Join(provider.WithQueries(), ", ")))
	}
	if c.Spec.TargetRef.Kind == "Service" && !provider.TargetsKnative(c) && !ask.SeeServices {
		istio, _ := provider.Named(provider.Istio)
		ask = istio.Queries
	}
	return ask, nil
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
