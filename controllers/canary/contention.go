// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/contention"
)

// contentionPolicy has short pauses: users are led by these objects. The first write
// repairs nothing, so that the fourth of the same content waits.
var contentionPolicy = contention.Policy{Burst: 4, Window: 5 * time.Minute, InitialBackoff: 10 * time.Second, MaxBackoff: time.Minute}

// contentions are about objects that somebody keeps changing back: who does it, and how
// long repairs wait. There is an entry for each object that was written for a canary,
// which goes with it. A restart loses them, and they are found out again.
type contentions struct {
	clock clock.PassiveClock
	// self is the field manager of writes of this process.
	self string

	mu      sync.Mutex
	objects map[clusterRef][]*writeHistory // the last that was written comes last
	// reports are what canaries were not told yet.
	reports map[types.NamespacedName][]string
}

// writeHistory counts how often the same was written to the same fields of one object of late.
// A write to other fields does not reset it, so that somebody who undoes two writes in turn
// is found out.
type writeHistory struct {
	contention.History
	canary   types.NamespacedName
	content  writeDigest
	message  string
	reported bool
}

// writeDigest is what a write says, and about which fields.
type writeDigest struct {
	fields string
	digest [sha256.Size]byte
}

// maxContended is how many sets of fields of one object are counted separately.
const maxContended = 8

// contentOf is what a write says, without what makes two of the same differ.
func contentOf(verb string, object client.Object, patch client.Patch) (writeDigest, bool) {
	var says map[string]any
	if patch != nil {
		data, err := patch.Data(object)
		if err != nil || json.Unmarshal(data, &says) != nil {
			return writeDigest{}, false
		}
	} else {
		var err error
		if says, err = runtime.DefaultUnstructuredConverter.ToUnstructured(object); err != nil {
			return writeDigest{}, false
		}
	}
	kept := runtime.DeepCopyJSON(says)
	delete(kept, "status")
	if metadata, ok := kept["metadata"].(map[string]any); ok {
		for _, key := range []string{"resourceVersion", "managedFields", "generation", "creationTimestamp", "uid"} {
			delete(metadata, key)
		}
	}
	data, err := json.Marshal(kept)
	out := writeDigest{fields: verb, digest: sha256.Sum256(data)}
	if patch != nil {
		out.fields = strings.Join(fieldsIn(kept), " ")
	}
	return out, err == nil
}

// fieldsIn are the paths of two names that a patch has, in their order: `spec.rules`, say.
func fieldsIn(patch map[string]any) (paths []string) {
	for name, value := range patch {
		children, _ := value.(map[string]any)
		for child := range children {
			paths = append(paths, name+"."+child)
		}
		if len(children) == 0 && name != "metadata" {
			paths = append(paths, name)
		}
	}
	slices.Sort(paths)
	return paths
}

// find returns what is known of the fields that a write is about; nil is nothing. The lock
// is held.
func (c *contentions) find(object clusterRef, wrote writeDigest) *writeHistory {
	for _, known := range c.objects[object] {
		if known.content.fields == wrote.fields {
			return known
		}
	}
	return nil
}

// paused reports whether a write is to be left out, because it was undone too often.
func (c *contentions) paused(object clusterRef, wrote writeDigest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.find(object, wrote)
	return known != nil && known.content == wrote && known.Pause(c.clock.Now()) > 0
}

// written counts a write that took place. by says who changed the object before.
func (c *contentions) written(canary types.NamespacedName, object clusterRef, wrote writeDigest, by contender) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, known := c.clock.Now(), c.find(object, wrote)
	if known == nil || known.content != wrote || now.Sub(known.Last) > contentionPolicy.Window {
		known = c.reset(object, &writeHistory{canary: canary, content: wrote}, now)
	}
	known.History = contentionPolicy.Repaired(known.History, now)
	if known.Pause(now) == 0 {
		return
	}
	known.message = fmt.Sprintf("%s %s is %s: it is repaired after growing pauses; %s, or leave the object to this Canary",
		object.Kind, strings.TrimPrefix(object.ObjectKey.String(), "/"), by.action, by.remedy)
	if !known.reported {
		known.reported = true
		c.reports[canary] = append(c.reports[canary], known.message)
	}
}

// reset keeps what is to be known of some fields of an object, and drops what was known of
// them and what is out of date. The lock is held.
func (c *contentions) reset(object clusterRef, known *writeHistory, now time.Time) *writeHistory {
	if c.objects == nil {
		c.objects, c.reports = map[clusterRef][]*writeHistory{}, map[types.NamespacedName][]string{}
	}
	others := slices.DeleteFunc(c.objects[object], func(other *writeHistory) bool {
		return other.content.fields == known.content.fields || now.Sub(other.Last) > contentionPolicy.Window
	})
	others = others[max(len(others)-maxContended+1, 0):]
	c.objects[object] = append(others, known)
	return known
}

// takeReports returns, once, what is to be reported about the objects of a canary.
func (c *contentions) takeReports(canary types.NamespacedName) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	news := c.reports[canary]
	delete(c.reports, canary)
	return news
}

// about says what keeps one of some objects from being what it should be; empty is
// nothing.
func (c *contentions) about(objects []clusterRef) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, object := range objects {
		for _, known := range c.objects[object] {
			if known.Pause(c.clock.Now()) > 0 {
				return known.message
			}
		}
	}
	return ""
}

// pause is how long the next repair for a canary waits; zero is that none does.
func (c *contentions) pause(canary types.NamespacedName) (least time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, known := range c.objects {
		for _, known := range known {
			if pause := known.Pause(c.clock.Now()); known.canary == canary && pause > 0 && (least == 0 || pause < least) {
				least = pause
			}
		}
	}
	return least
}

// forget drops what is known about the objects of a canary that is gone.
func (c *contentions) forget(canary types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.reports, canary)
	for object, known := range c.objects {
		if known[0].canary == canary {
			delete(c.objects, object)
		}
	}
}

// contender is somebody who undoes writes to an object: what they do to it, and what to do
// about it.
type contender struct{ action, remedy string }

// contenderOf says who changed an object last, as far as it tells, and where that matters: in the
// fields that are about to be written.
func (c *contentions) contenderOf(verb string, object client.Object, wrote writeDigest) contender {
	const keepAway = "keep it from that"
	if verb == "create" {
		return contender{"deleted again and again by somebody", keepAway}
	}
	where := ""
	if fields := strings.Fields(wrote.fields); verb == "patch" && len(fields) > 0 {
		where = " (" + strings.Join(fields, ", ") + ")"
	}
	var last metav1.ManagedFieldsEntry
	for _, entry := range object.GetManagedFields() {
		if entry.Subresource == "status" || entry.Manager == c.self || entry.Time == nil {
			continue
		}
		if last.Time == nil || last.Time.Before(entry.Time) {
			last = entry
		}
	}
	if last.Manager == "" {
		return contender{"changed again and again by somebody" + where, keepAway}
	}
	who, remedy := applierOf(object, last.Manager)
	return contender{"changed again and again by " + who + where, cmp.Or(remedy, keepAway)}
}

// appliers are controllers that write what a source says, by their field manager: what kind
// of object tells them to, by which labels or annotations of what they apply, and how that is
// told to leave an object alone.
var appliers = map[string]struct {
	kind, name, namespace string
	remedy                string
}{
	"kustomize-controller": {
		"Kustomization", "kustomize.toolkit.fluxcd.io/name", "kustomize.toolkit.fluxcd.io/namespace",
		"take it out of what the Kustomization applies, or annotate it there with kustomize.toolkit.fluxcd.io/ssa: IfNotPresent",
	},
	"helm-controller": {
		"HelmRelease", "helm.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/namespace",
		"take it out of what the chart makes, or out of the HelmRelease's spec.driftDetection",
	},
	"helm": {"Helm release", "meta.helm.sh/release-name", "meta.helm.sh/release-namespace", "take it out of what the chart makes"},
	"argocd-controller": {
		"Application", "argocd.argoproj.io/instance", "", "take it out of what the Application applies, or into its spec.ignoreDifferences",
	},
}

// applierOf names who writes an object under a field manager.
func applierOf(object client.Object, manager string) (who, remedy string) {
	by, ok := appliers[manager]
	marks := func(key string) string { return cmp.Or(object.GetLabels()[key], object.GetAnnotations()[key]) }
	if !ok || marks(by.name) == "" {
		return manager, by.remedy
	}
	name := marks(by.name)
	if namespace := marks(by.namespace); namespace != "" {
		name = namespace + "/" + name
	}
	return fmt.Sprintf("%s %s, as %s", by.kind, name, manager), by.remedy
}

// actingFor is the context key of the canary that a write is for.
type actingFor struct{}

// withCanary makes a context of writes for a canary.
func withCanary(ctx context.Context, canary types.NamespacedName) context.Context {
	return context.WithValue(ctx, actingFor{}, canary)
}
