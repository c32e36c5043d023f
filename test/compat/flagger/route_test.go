// SPDX-License-Identifier: Apache-2.0

package flagger

import (
	"encoding/json"
	"strconv"
	"strings"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// route is an object that splits users, as its proxy would read it.
type route struct {
	apiVersion, kind, name string
	// read is the canary's percentage; nil looks for a field `weight` beside the
	// canary's name.
	read func(object *unstructured.Unstructured, canary string) int
	// chosen means that only users with a certain header are on the canary.
	chosen func(object *unstructured.Unstructured) bool

	now    atomic.Int64
	sticky atomic.Bool
}

func (r *route) canary() int { return int(r.now.Load()) }

// share is the part of the users who get to the canary; insiders have the header
// that an A/B test looks for.
func (r *route) share(insider bool) float64 {
	if r.sticky.Load() && !insider {
		return 0
	}
	return float64(r.canary()) / 100
}

// follow notes every weight of the object.
func (r *route) follow(s *story) {
	s.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion(r.apiVersion)
	list.SetKind(r.kind + "List")
	events, err := the.Client.Watch(s.Context(), list, client.InNamespace(s.ns))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(events.Stop)
	go func() {
		for e := range events.ResultChan() {
			object, ok := e.Object.(*unstructured.Unstructured)
			if !ok || object.GetName() != r.name || e.Type == watch.Deleted {
				continue
			}
			weight := r.weight(object, s.service)
			r.now.Store(int64(weight))
			if r.chosen != nil {
				r.sticky.Store(r.chosen(object))
			}
			s.mu.Lock()
			if last := len(s.weights) - 1; (last < 0 && weight > 0) || (last >= 0 && s.weights[last] != weight) {
				s.weights = append(s.weights, weight)
			}
			s.mu.Unlock()
		}
	}()
}

func (r *route) weight(object *unstructured.Unstructured, service string) int {
	if r.read != nil {
		return r.read(object, service+"-canary")
	}
	weight, _ := beside(object.Object["spec"], service+"-canary")
	return weight
}

// beside finds the first field `weight` whose object also has a text with the
// name in it. A backend that is not there has no users.
func beside(value any, name string) (int, bool) {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			if weight, ok := beside(item, name); ok {
				return weight, true
			}
		}
	case map[string]any:
		if weight, ok := v["weight"]; ok && mentions(v, name) {
			number, _ := json.Marshal(weight)
			n, err := strconv.Atoi(string(number))
			return n, err == nil
		}
		for _, field := range v {
			if weight, ok := beside(field, name); ok {
				return weight, true
			}
		}
	}
	return 0, false
}

func mentions(value any, name string) bool {
	switch v := value.(type) {
	case string:
		return strings.Contains(v, name)
	case map[string]any:
		for _, field := range v {
			if mentions(field, name) {
				return true
			}
		}
	}
	return false
}
