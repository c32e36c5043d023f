// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
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
			err := v.eachEvent(ctx, kind, workload.Namespace, func(e corev1.Event) {
				name := e.InvolvedObject.Name
				if slices.ContainsFunc(of, func(w report.ObjectReference) bool {
					return w.Namespace == workload.Namespace && isMadeBy(w, kind, name)
				}) {
					found.Items = append(found.Items, report.TimelineEvent{Event: report.Events([]corev1.Event{e})[0],
						ObjectReference: report.ObjectReference{Kind: kind, Namespace: workload.Namespace, Name: name}})
				}
			})
			if err != nil { // what was read is worth more than none
				found.EventsProblem = err.Error()
			}
		}
	}
}

// eachEvent reads the events of all objects of a kind in a namespace.
func (v *view) eachEvent(ctx context.Context, kind, namespace string, read func(corev1.Event)) error {
	next := ""
	for range maxEventPages {
		var events corev1.EventList
		if err := v.client.List(ctx, &events, client.InNamespace(namespace), client.Limit(maxEvents), client.Continue(next),
			client.MatchingFields{"involvedObject.kind": kind}); err != nil {
			return err
		}
		for _, e := range events.Items {
			read(e)
		}
		if next = events.Continue; next == "" {
			return nil
		}
	}
	return fmt.Errorf("namespace %s has more than %d events of %s objects: some are missing here", namespace, maxEventPages*maxEvents, kind)
}
