// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
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
var contentionPolicy = contention.Policy{Repairs: 4, Window: 5 * time.Minute, First: 10 * time.Second, Longest: time.Minute}

// contentions are about objects that somebody keeps changing back: who does it, and how
// long repairs wait. There is an entry for each object that was written for a canary,
// which goes with it. A restart loses them, and they are found out again.
type contentions struct {
	clock clock.PassiveClock
	// self is the field manager of writes of this process.
	self string

	mu      sync.Mutex
	objects map[objectRef]*contended
	// reports are what canaries were not told yet.
	reports map[types.NamespacedName][]string
}

// contended is how often the same was written to one object of late.
type contended struct {
	contention.History
	canary   types.NamespacedName
	content  contentDigest
	message  string
	reported bool
}

// contentDigest is that of what a write says.
type contentDigest [sha256.Size]byte

// digestOf is what a write says, without what makes two of the same differ.
func digestOf(verb string, object client.Object, patch client.Patch) (contentDigest, bool) {
	var content map[string]any
	if patch != nil {
		data, err := patch.Data(object)
		if err != nil || json.Unmarshal(data, &content) != nil {
			return contentDigest{}, false
		}
	} else {
		var err error
		if content, err = runtime.DefaultUnstructuredConverter.ToUnstructured(object); err != nil {
			return contentDigest{}, false
		}
	}
	kept := runtime.DeepCopyJSON(content)
	delete(kept, "status")
	if metadata, ok := kept["metadata"].(map[string]any); ok {
		for _, key := range []string{"resourceVersion", "managedFields", "generation", "creationTimestamp", "uid"} {
			delete(metadata, key)
		}
	}
	data, err := json.Marshal(kept)
	return sha256.Sum256(append([]byte(verb), data...)), err == nil
}

// paused reports whether a write is to be left out, because it was undone too often.
func (c *contentions) paused(object objectRef, content contentDigest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.objects[object]
	return known != nil && known.content == content && known.Pause(c.clock.Now()) > 0
}

// written counts a write that took place. undoing says who changed the object before.
func (c *contentions) written(canary types.NamespacedName, object objectRef, content contentDigest, undoing string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, known := c.clock.Now(), c.objects[object]
	if known == nil || known.content != content || now.Sub(known.Last) > contentionPolicy.Window {
		if c.objects == nil {
			c.objects, c.reports = map[objectRef]*contended{}, map[types.NamespacedName][]string{}
		}
		known = &contended{canary: canary, content: content}
		c.objects[object] = known
	}
	known.History = contentionPolicy.Repaired(known.History, now)
	if known.Pause(now) == 0 {
		return
	}
	known.message = fmt.Sprintf("%s %s is %s: it is repaired after growing pauses; keep it from that, or leave the object to this Canary",
		object.Kind, strings.TrimPrefix(object.ObjectKey.String(), "/"), undoing)
	if !known.reported {
		known.reported = true
		c.reports[canary] = append(c.reports[canary], known.message)
	}
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
func (c *contentions) about(objects []objectRef) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, object := range objects {
		if known := c.objects[object]; known != nil && known.Pause(c.clock.Now()) > 0 {
			return known.message
		}
	}
	return ""
}

// pause is how long the next repair for a canary waits; zero is that none does.
func (c *contentions) pause(canary types.NamespacedName) (least time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, known := range c.objects {
		if pause := known.Pause(c.clock.Now()); known.canary == canary && pause > 0 && (least == 0 || pause < least) {
			least = pause
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
		if known.canary == canary {
			delete(c.objects, object)
		}
	}
}

// undoing says what somebody does to an object that is about to be written: the last
// to change it, as far as the object tells.
func (c *contentions) undoing(verb string, object client.Object) string {
	if verb == "create" {
		return "deleted again and again by somebody"
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
		return "changed again and again by somebody"
	}
	return "changed again and again by " + last.Manager
}

// actingFor is the context key of the canary that a write is for.
type actingFor struct{}

// withCanary makes a context of writes for a canary.
func withCanary(ctx context.Context, canary types.NamespacedName) context.Context {
	return context.WithValue(ctx, actingFor{}, canary)
}
