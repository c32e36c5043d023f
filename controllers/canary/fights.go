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
)

// How a fight is recognised, and how long each repair waits from then on. The pauses
// are short for objects that users are led by.
const (
	fightRepairs = 3
	fightWindow  = 5 * time.Minute
	firstPause   = 10 * time.Second
	longestPause = time.Minute
)

// fights are about objects that somebody keeps changing back. Every watch of such an
// object starts a reconcile, so that two controllers that disagree would write as fast
// as they can; instead it is said who does it, and repairs wait. What is remembered is
// lost with the process, and found out again.
type fights struct {
	clock clock.PassiveClock
	// self is the field manager of writes of this process.
	self string

	mu   sync.Mutex
	over map[thing]*fight
	news map[types.NamespacedName][]string
}

// fight is how often the same was written to one object of late.
type fight struct {
	of     types.NamespacedName
	wrote  [sha256.Size]byte
	times  int
	last   time.Time
	until  time.Time
	what   string
	warned bool
}

// actingFor is the canary that a write is for.
type actingFor struct{}

// withCanary makes a context of writes for a canary.
func withCanary(ctx context.Context, canary types.NamespacedName) context.Context {
	return context.WithValue(ctx, actingFor{}, canary)
}

// digest is what a write says, without what makes two of the same differ.
func digest(verb string, object client.Object, patch client.Patch) ([sha256.Size]byte, bool) {
	var content map[string]any
	if patch != nil {
		data, err := patch.Data(object)
		if err != nil || json.Unmarshal(data, &content) != nil {
			return [sha256.Size]byte{}, false
		}
	} else {
		var err error
		if content, err = runtime.DefaultUnstructuredConverter.ToUnstructured(object); err != nil {
			return [sha256.Size]byte{}, false
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
func (f *fights) paused(of thing, wrote [sha256.Size]byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.over[of]
	return known != nil && known.wrote == wrote && f.clock.Now().Before(known.until)
}

// noted counts a write that took place. who was the last to change the object before.
func (f *fights) noted(canary types.NamespacedName, of thing, wrote [sha256.Size]byte, who string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, known := f.clock.Now(), f.over[of]
	if known == nil || known.wrote != wrote || now.Sub(known.last) > fightWindow {
		if f.over == nil {
			f.over = map[thing]*fight{}
		}
		f.over[of] = &fight{of: canary, wrote: wrote, times: 1, last: now}
		return
	}
	known.times, known.last = known.times+1, now
	if known.times <= fightRepairs {
		return
	}
	known.until = now.Add(min(firstPause<<min(known.times-fightRepairs-1, 5), longestPause))
	known.what = fmt.Sprintf("%s %s is %s: it is repaired after growing pauses; keep it from that, or leave the object to this Canary", of.Kind, keyOf(of), who)
	if !known.warned {
		known.warned = true
		if f.news == nil {
			f.news = map[types.NamespacedName][]string{}
		}
		f.news[canary] = append(f.news[canary], known.what)
	}
}

func keyOf(of thing) string { return strings.TrimPrefix(of.ObjectKey.String(), "/") }

// told returns what is new about the objects of a canary, once.
func (f *fights) told(canary types.NamespacedName) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	news := f.news[canary]
	delete(f.news, canary)
	return news
}

// on says what keeps one of some objects from being what it should be; empty is
// nothing.
func (f *fights) on(objects []thing) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, of := range objects {
		if known := f.over[of]; known != nil && f.clock.Now().Before(known.until) {
			return known.what
		}
	}
	return ""
}

// pause is how long the next repair for a canary waits; zero is that none does.
func (f *fights) pause(canary types.NamespacedName) (least time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock.Now()
	for _, known := range f.over {
		if left := known.until.Sub(now); known.of == canary && left > 0 && (least == 0 || left < least) {
			least = left
		}
	}
	return least
}

// forget drops what is known about the objects of a canary that is gone.
func (f *fights) forget(canary types.NamespacedName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.news, canary)
	for of, known := range f.over {
		if known.of == canary {
			delete(f.over, of)
		}
	}
}

// undoing says what somebody does to an object that is about to be written: the last
// to change it, as far as the object tells.
func (f *fights) undoing(verb string, object client.Object) string {
	if verb == "create" {
		return "deleted again and again by somebody"
	}
	var last metav1.ManagedFieldsEntry
	for _, entry := range object.GetManagedFields() {
		if entry.Subresource == "status" || entry.Manager == f.self || entry.Time == nil {
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
