// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// Limits bound what is kept of a cluster whose owner decides what it answers, and of this one what is
// watched beside what was applied. An informer beyond them ends, so that its objects are Unknown.
type Limits struct {
	// Targets is how many informers there are at most. What is beyond is Unknown.
	Targets int
	// Objects is how many objects one informer has at most.
	Objects int
	// Bytes is about how many bytes the objects of one informer have in JSON at most; zero
	// is no limit.
	Bytes int64
	// Quota is what several clusters have together.
	Quota *Quota
}

// boundedListWatch lists page by page, and never by a watch: the length of a page is bounded
// by the connection, that of a list by what is counted here. What a watch adds counts as if
// it had been listed.
type boundedListWatch struct {
	*cache.ListWatch
	limits Limits
	// exceeded is told, once, what there is too much of: it ends the informer.
	exceeded func(error)
	// counted and read are of the list under way, which may name an object twice; a reflector
	// has one at a time.
	counted int
	read    int64

	mu sync.Mutex
	// objects are those that were listed last, or came by a watch since, by their keys, and
	// total is their sum.
	objects map[string]objectSize
	total   objectSize
	// held is what was taken of the share: while a list is under way, what was kept before is
	// still there.
	held    int64
	listing bool
	ended   bool
}

// objectSize is about how many bytes an object had in JSON, and how many are kept of it.
type objectSize struct{ read, kept int64 }

// listWatch bounds what an informer is answered.
func (l Limits) listWatch(lw *cache.ListWatch, exceeded func(error)) *boundedListWatch {
	return &boundedListWatch{ListWatch: lw, limits: l, exceeded: exceeded, objects: map[string]objectSize{}}
}

// IsWatchListSemanticsUnSupported has the reflector list: see its package's watchlist.
func (*boundedListWatch) IsWatchListSemanticsUnSupported() bool { return true }

// ListWithContext implements cache.ListerWatcherWithContext.
func (p *boundedListWatch) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	if options.Continue == "" {
		p.counted, p.read = 0, 0
		p.clear()
	}
	if options.ResourceVersion == "0" {
		options.ResourceVersion = "" // from its cache, an API server gives all at once
	}
	list, err := p.ListWatch.ListWithContext(ctx, options)
	if err != nil {
		return nil, err
	}
	if err := meta.EachListItem(list, p.list); err != nil {
		p.exceed(err)
		return nil, err
	}
	if page, err := meta.ListAccessor(list); err == nil && page.GetContinue() == "" {
		p.listed()
	}
	return list, nil
}

// WatchWithContext implements cache.ListerWatcherWithContext.
func (p *boundedListWatch) WatchWithContext(ctx context.Context, options metav1.ListOptions) (apiwatch.Interface, error) {
	stream, err := p.ListWatch.WatchWithContext(ctx, options)
	if err != nil {
		return nil, err
	}
	return apiwatch.Filter(stream, func(e apiwatch.Event) (apiwatch.Event, bool) {
		var err error
		switch e.Type {
		case apiwatch.Added, apiwatch.Modified:
			err = p.add(e.Object)
		case apiwatch.Deleted:
			p.remove(e.Object)
		case apiwatch.Bookmark, apiwatch.Error:
		}
		if err == nil {
			return e, true
		}
		p.exceed(err)
		return apiwatch.Event{Type: apiwatch.Error, Object: &apierrors.NewInternalError(err).ErrStatus}, true
	}), nil
}

// errEnded is of an informer that nobody uses any more.
var errEnded = errors.New("the watch has ended")

// exceed tells that there is too much.
func (p *boundedListWatch) exceed(err error) {
	if !errors.Is(err, errEnded) {
		p.exceeded(err)
	}
}

// list counts an object of a list.
func (p *boundedListWatch) list(obj runtime.Object) error {
	p.counted++
	p.read += sizeOf(obj)
	if err := p.limits.check(p.counted, p.read); err != nil {
		return err
	}
	return p.add(obj)
}

// check is an error when there are too many objects, or bytes of them.
func (l Limits) check(objects int, bytes int64) error {
	switch {
	case objects > l.Objects:
		return fmt.Errorf("the API server has more than %d objects", l.Objects)
	case l.Bytes > 0 && bytes > l.Bytes:
		return fmt.Errorf("the API server has objects of more than %d bytes", l.Bytes)
	}
	return nil
}

// add counts an object that is kept from now on, or anew.
func (p *boundedListWatch) add(obj runtime.Object) error {
	described, err := meta.Accessor(obj)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key, now := keyOf(described.GetNamespace(), described.GetName()), objectSize{sizeOf(obj), keptOf(described)}
	was, known := p.objects[key]
	objects := len(p.objects)
	if !known {
		objects++
	}
	if p.ended {
		return errEnded
	}
	if err := p.limits.check(objects, p.total.read+now.read-was.read); err != nil {
		return err
	}
	before := p.total
	p.total = objectSize{before.read + now.read - was.read, before.kept + now.kept - was.kept}
	if !p.hold() {
		p.total = before
		return fmt.Errorf("the API servers of a namespace have objects of which more than %d bytes would be kept", p.limits.Quota.Bytes)
	}
	p.objects[key] = now
	return nil
}

// remove counts an object no more.
func (p *boundedListWatch) remove(obj runtime.Object) {
	described, err := meta.Accessor(obj)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := keyOf(described.GetNamespace(), described.GetName())
	was := p.objects[key]
	delete(p.objects, key)
	p.total.read -= was.read
	p.total.kept -= was.kept
	p.hold()
}

// hold takes of the share what is kept, and reports whether there was room. What is not kept any
// more is given back, unless a list is under way. The lock is held.
func (p *boundedListWatch) hold() bool {
	more := p.total.kept - p.held
	if more < 0 && p.listing {
		return true
	}
	if !p.limits.Quota.grow(more) {
		return false
	}
	p.held += more
	return true
}

// clear counts nothing that came before, for a list that begins.
func (p *boundedListWatch) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.objects, p.total, p.listing = map[string]objectSize{}, objectSize{}, true
}

// listed notes that a list is over.
func (p *boundedListWatch) listed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listing = false
	p.hold()
}

// release gives back what was taken of the quota, and takes no more.
func (p *boundedListWatch) release() {
	p.clear()
	p.listed()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
}

// Quota is what the informers of several clusters have together. A nil Quota is no limit.
type Quota struct {
	// Targets is how many informers there are at most.
	Targets int
	// Bytes is about how many bytes they keep of their objects at most.
	Bytes int64

	mu      sync.Mutex
	targets int
	bytes   int64
}

// acquire takes room for an informer, and reports whether there was any.
func (s *Quota) acquire() bool {
	if s == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.targets >= s.Targets {
		return false
	}
	s.targets++
	return true
}

// release gives back the room of an informer.
func (s *Quota) release() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.targets--
}

// unused reports whether no informer has room.
func (s *Quota) unused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.targets == 0
}

// grow takes room for more bytes, or gives some back, and reports whether there was any.
func (s *Quota) grow(by int64) bool {
	if s == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if by > 0 && s.bytes+by > s.Bytes {
		return false
	}
	s.bytes += by
	return true
}

// keptOf is about how many bytes are kept of an object.
func keptOf(obj metav1.Object) int64 {
	const other = 512 // names, hashes, the status of its health
	size := int64(other + len(obj.GetName()) + len(obj.GetNamespace()))
	for _, values := range []map[string]string{obj.GetLabels(), obj.GetAnnotations()} {
		for key, value := range values {
			if key != lastApplied {
				size += int64(len(key) + len(value))
			}
		}
	}
	return size
}

// sizeOf is about how many bytes an object had in JSON. The reflector holds all pages of a
// list before the first object is trimmed.
func sizeOf(obj runtime.Object) int64 {
	switch o := obj.(type) {
	case *unstructured.Unstructured:
		return sizeOfValue(o.Object)
	case *metav1.PartialObjectMetadata:
		return int64(o.Size()) // in protobuf, which is shorter by the names of fields
	}
	return 0
}

// sizeOfValue is about how many bytes a value has in JSON.
func sizeOfValue(value any) int64 {
	const other = 8 // numbers, punctuation
	size := int64(other)
	switch v := value.(type) {
	case string:
		size += int64(len(v))
	case []any:
		for _, of := range v {
			size += sizeOfValue(of)
		}
	case map[string]any:
		for key, of := range v {
			size += int64(len(key)) + sizeOfValue(of)
		}
	}
	return size
}

// List implements cache.ListerWatcher.
func (p *boundedListWatch) List(options metav1.ListOptions) (runtime.Object, error) {
	return p.ListWithContext(context.Background(), options) //nolint:forbidigo // the interface has no context
}

// Watch implements cache.ListerWatcher.
func (p *boundedListWatch) Watch(options metav1.ListOptions) (apiwatch.Interface, error) {
	return p.WatchWithContext(context.Background(), options) //nolint:forbidigo // the interface has no context
}
