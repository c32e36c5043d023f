// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
)

// pagedList lists page by page, and never by a watch: the length of a page is bounded by
// the connection, that of a list by what is counted here.
type pagedList struct {
	*cache.ListWatch
	objects int
	counted int // of the list under way; a reflector has one at a time
}

// of bounds what an informer is answered.
func (l Limits) of(lw *cache.ListWatch) cache.ListerWatcher {
	if l.Objects == 0 {
		return lw
	}
	return &pagedList{ListWatch: lw, objects: l.Objects}
}

// IsWatchListSemanticsUnSupported has the reflector list: see its package's watchlist.
func (*pagedList) IsWatchListSemanticsUnSupported() bool { return true }

// ListWithContext implements cache.ListerWatcherWithContext.
func (p *pagedList) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	if options.Continue == "" {
		p.counted = 0
	}
	if options.ResourceVersion == "0" {
		options.ResourceVersion = "" // from its cache, an API server gives all at once
	}
	list, err := p.ListWatch.ListWithContext(ctx, options)
	if err != nil {
		return nil, err
	}
	if p.counted += meta.LenList(list); p.counted > p.objects {
		return nil, fmt.Errorf("the API server lists more than %d objects", p.objects)
	}
	return list, nil
}

// List implements cache.ListerWatcher.
func (p *pagedList) List(options metav1.ListOptions) (runtime.Object, error) {
	return p.ListWithContext(context.Background(), options) //nolint:forbidigo // the interface has no context
}
