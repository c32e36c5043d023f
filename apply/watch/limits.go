// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
)

// pagedList lists page by page, and never by a watch: the length of a page is bounded by
// the connection, that of a list by what is counted here.
type pagedList struct {
	*cache.ListWatch
	limits Limits
	// counted and read are of the list under way; a reflector has one at a time.
	counted int
	read    int64
}

// of bounds what an informer is answered.
func (l Limits) of(lw *cache.ListWatch) cache.ListerWatcher {
	if l.Objects == 0 {
		return lw
	}
	return &pagedList{ListWatch: lw, limits: l}
}

// IsWatchListSemanticsUnSupported has the reflector list: see its package's watchlist.
func (*pagedList) IsWatchListSemanticsUnSupported() bool { return true }

// ListWithContext implements cache.ListerWatcherWithContext.
func (p *pagedList) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	if options.Continue == "" {
		p.counted, p.read = 0, 0
	}
	if options.ResourceVersion == "0" {
		options.ResourceVersion = "" // from its cache, an API server gives all at once
	}
	list, err := p.ListWatch.ListWithContext(ctx, options)
	if err != nil {
		return nil, err
	}
	if p.counted += meta.LenList(list); p.counted > p.limits.Objects {
		return nil, fmt.Errorf("the API server lists more than %d objects", p.limits.Objects)
	}
	if p.limits.Bytes == 0 {
		return list, nil
	}
	if p.read += sizeOf(list); p.read > p.limits.Bytes {
		return nil, fmt.Errorf("the API server lists objects of more than %d bytes", p.limits.Bytes)
	}
	return list, nil
}

// sizeOf is about how many bytes a page of a list had in JSON. The reflector holds all pages
// before the first object is trimmed.
func sizeOf(list runtime.Object) int64 {
	switch l := list.(type) {
	case *unstructured.UnstructuredList:
		size := sizeOfValue(l.Object)
		for i := range l.Items {
			size += sizeOfValue(l.Items[i].Object)
		}
		return size
	case *metav1.PartialObjectMetadataList:
		return int64(l.Size()) // in protobuf, which is shorter by the names of fields
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
func (p *pagedList) List(options metav1.ListOptions) (runtime.Object, error) {
	return p.ListWithContext(context.Background(), options) //nolint:forbidigo // the interface has no context
}
