// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// withEvents reads so many events by pages, as the API server has them: by their names, which grow with time.
func withEvents(count int) *view {
	return &view{client: fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		List: func(_ context.Context, _ client.WithWatch, into client.ObjectList, opts ...client.ListOption) error {
			var asked client.ListOptions
			asked.ApplyOptions(opts)
			from, _ := strconv.Atoi(asked.Continue)
			list, ok := into.(*corev1.EventList)
			if !ok {
				return fmt.Errorf("asked for %T", into)
			}
			for i := from; i < min(count, from+int(asked.Limit)); i++ {
				list.Items = append(list.Items, corev1.Event{
					Message: strconv.Itoa(i), LastTimestamp: metav1.NewTime(time.Unix(1_700_000_000+int64(i), 0)),
				})
			}
			if next := from + int(asked.Limit); next < count {
				list.Continue = strconv.Itoa(next)
			}
			return nil
		},
	}).Build()}
}

// Of more than 500 events of an object, the newest were left out, whose names are the last.
func TestTheNewestEventsAreShown(t *testing.T) {
	for count, want := range map[int]struct {
		shown       int
		first, last string
	}{
		3: {3, "0", "2"}, maxEvents: {maxEvents, "0", "499"}, 1200: {maxEvents, "700", "1199"},
		2 * maxEventPages * maxEvents: {maxEvents, "4500", "4999"},
	} {
		got, err := withEvents(count).newestEvents(t.Context(), "apps", fields.Set{"involvedObject.uid": "1"})
		if err != nil || len(got) != want.shown || got[0].Message != want.first || got[len(got)-1].Message != want.last {
			t.Errorf("of %d: %d events, %v", count, len(got), err)
		}
	}
	if got, err := withEvents(0).newestEvents(t.Context(), "apps", nil); err != nil || len(got) != 0 {
		t.Errorf("of none: %v, %v", got, err)
	}
	tooMany := withEvents(maxEventPages*maxEvents + 1)
	if err := tooMany.eachEvent(t.Context(), "apps", nil, func(corev1.Event) {}); !errors.Is(err, errMoreEvents) {
		t.Errorf("of too many: %v", err)
	}
}
