// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/report"
)

// Why a release does not come up is told of pods and of ReplicaSets: an image that cannot be pulled, a quota that is used up. Those that
// an event is about may be gone, so that it is told by their names whose they are.

// generated matches what controllers append to the name of what makes something, which never has a vowel: podinfo-api-7d4b9c8f6-x2x5k
// is of podinfo-api, and not of podinfo.
const generated = "[bcdfghjklmnpqrstvwxz2456789]"

// madeNames are the ends of the names of what is made of a workload of a kind, by their kinds.
var madeNames = map[string]map[string]*regexp.Regexp{
	"Deployment": {
		"ReplicaSet": regexp.MustCompile("^-" + generated + "{1,10}$"),
		"Pod":        regexp.MustCompile("^-" + generated + "{1,10}-" + generated + "{5}$"),
	},
	"StatefulSet": {"Pod": regexp.MustCompile("^-[0-9]+$")},
	"DaemonSet":   {"Pod": regexp.MustCompile("^-" + generated + "{5}$")},
}

// isMadeBy reports whether an object of a kind and name was made of a workload.
func isMadeBy(workload report.ObjectReference, kind, name string) bool {
	pattern := madeNames[workload.Kind][kind]
	begin := len(workload.Name)
	return pattern != nil && len(name) > begin && name[:begin] == workload.Name && pattern.MatchString(name[begin:])
}

// maxEventPages bounds how often more events of all pods of a namespace are asked for.
const maxEventPages = 10

// addPods adds the events of the ReplicaSets and pods of workloads, as far as the user may list events and there are not too many.
func (v *view) addPods(ctx context.Context, of []report.ObjectReference, found *Timeline) {
	asked := map[string]bool{}
	for _, workload := range of {
		for kind := range madeNames[workload.Kind] {
			if asked[kind+"/"+workload.Namespace] {
				continue
			}
			asked[kind+"/"+workload.Namespace] = true
			err := v.eachEvent(ctx, workload.Namespace, fields.Set{"involvedObject.kind": kind}, func(e corev1.Event) {
				name := e.InvolvedObject.Name
				if slices.ContainsFunc(of, func(w report.ObjectReference) bool {
					return w.Namespace == workload.Namespace && isMadeBy(w, kind, name)
				}) {
					found.Items = append(found.Items, report.TimelineEvent{Event: report.Events([]corev1.Event{e})[0],
						ObjectReference: report.ObjectReference{Kind: kind, Namespace: workload.Namespace, Name: name}})
				}
			})
			if err != nil { // what was read is worth more than none
				found.EventsProblem = fmt.Sprintf("%s objects of namespace %s: %v", kind, workload.Namespace, err)
			}
		}
	}
}

// errMoreEvents means that there are more events than are read.
var errMoreEvents = fmt.Errorf("there are more than %d events: some are missing here", maxEventPages*maxEvents)

// eachEvent reads the events of a namespace that are selected. The API server has them in the order of their names, so that the newest
// may be the last; if there are too many, the error is [errMoreEvents].
func (v *view) eachEvent(ctx context.Context, namespace string, selected fields.Set, read func(corev1.Event)) error {
	next := ""
	for range maxEventPages {
		var events corev1.EventList
		if err := v.client.List(ctx, &events, client.InNamespace(namespace), client.Limit(maxEvents), client.Continue(next),
			client.MatchingFieldsSelector{Selector: fields.SelectorFromSet(selected)}); err != nil {
			return err
		}
		for _, e := range events.Items {
			read(e)
		}
		if next = events.Continue; next == "" {
			return nil
		}
	}
	return errMoreEvents
}

// newestEvents are the last maxEvents that are selected, the oldest first.
func (v *view) newestEvents(ctx context.Context, namespace string, selected fields.Set) ([]report.Event, error) {
	var all []corev1.Event
	err := v.eachEvent(ctx, namespace, selected, func(e corev1.Event) { all = append(all, e) })
	if err != nil && !errors.Is(err, errMoreEvents) {
		return nil, err
	}
	events := report.Events(all)
	return events[max(0, len(events)-maxEvents):], nil
}
