// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// tick is how often imaginary requests arrive.
const tick = 50 * time.Millisecond

// Simulator is an imaginary stream of requests over real routes.
type Simulator struct {
	// Reader sees routes, Services, EndpointSlices and pods; see [NewReader].
	Reader client.Reader
	// Metrics receive the counts.
	Metrics *Metrics
	// Rate is the number of requests per second for each route.
	Rate float64

	images map[string]Traits
	pods   map[client.ObjectKey]*pod
	owed   map[client.ObjectKey]float64 // unserved requests by route, with fractions
	random *rand.Rand
}

// pod is what the simulator knows about a pod.
type pod struct {
	traits Traits
	owed   float64 // requests that are due, with fractions
	seen   bool
}

// Run sends requests until ctx ends. It fails when the API server or the
// registry cannot be read.
func (s *Simulator) Run(ctx context.Context) error {
	s.images, s.pods, s.owed = map[string]Traits{}, map[client.ObjectKey]*pod{}, map[client.ObjectKey]float64{}
	s.random = rand.New(rand.NewPCG(1, 2)) // the same luck every time
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			if err := s.step(ctx, now.Sub(last)); err != nil && ctx.Err() == nil {
				return fmt.Errorf("simulating traffic: %w", err)
			}
			last = now
		}
	}
}

// step sends the requests of an interval of time.
func (s *Simulator) step(ctx context.Context, took time.Duration) error {
	routes, err := Read(ctx, s.Reader)
	if err != nil {
		return err
	}
	for _, p := range s.pods {
		p.seen = false
	}
	for _, route := range routes {
		requests := s.Rate * took.Seconds()
		for _, backend := range route.Backends {
			if err := s.send(ctx, route.Namespace, backend, requests); err != nil {
				return err
			}
		}
		s.drop(route, requests)
	}
	return s.forget(ctx)
}

// send gives a pod its share of requests.
func (s *Simulator) send(ctx context.Context, namespace string, to Backend, requests float64) error {
	key := client.ObjectKey{Namespace: namespace, Name: to.Pod}
	p, ok := s.pods[key]
	if !ok {
		traits, err := s.traitsOf(ctx, key)
		if err != nil {
			return client.IgnoreNotFound(err) // the pod went in between
		}
		p = &pod{traits: traits.in(key.Namespace)}
		s.pods[key] = p
		s.Metrics.Appeared(key.Namespace, key.Name)
	}
	p.seen = true
	for p.owed += requests * to.Share; p.owed >= 1; p.owed-- {
		status := http.StatusOK
		if s.random.Float64() < p.traits.ErrorRate {
			status = http.StatusInternalServerError
		}
		s.Metrics.Answered(key.Namespace, key.Name, status, s.latency(p.traits))
	}
	return nil
}

// latency scatters by a fifth around the typical one, as requests do.
func (s *Simulator) latency(t Traits) time.Duration {
	return max(0, time.Duration(float64(t.Latency)*(1+0.2*s.random.NormFloat64())))
}

func (s *Simulator) drop(route Route, requests float64) {
	key := client.ObjectKey{Namespace: route.Namespace, Name: route.Name}
	s.owed[key] += requests * route.Unserved
	for ; s.owed[key] >= 1; s.owed[key]-- {
		s.Metrics.Unserved(route.Namespace, route.Name)
	}
}

// forget drops pods that are gone; those without requests may get some later.
func (s *Simulator) forget(ctx context.Context) error {
	for key, p := range s.pods {
		if p.seen {
			continue
		}
		err := s.Reader.Get(ctx, key, &corev1.Pod{})
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		if err != nil {
			s.Metrics.Gone(key.Namespace, key.Name)
			delete(s.pods, key)
		}
	}
	return nil
}

func (s *Simulator) traitsOf(ctx context.Context, key client.ObjectKey) (Traits, error) {
	pod := &corev1.Pod{}
	if err := s.Reader.Get(ctx, key, pod); err != nil {
		return Traits{}, err
	}
	image := pod.Spec.Containers[0].Image
	if traits, ok := s.images[image]; ok {
		return traits, nil
	}
	traits, err := fetchTraits(ctx, image)
	if err == nil {
		s.images[image] = traits
	}
	return traits, err
}
