// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"context"
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-cd/sluice/internal/bucket"
)

// panicking is a bucket whose client does not survive what an endpoint answers.
type panicking struct{ bucket.Bucket }

func (panicking) Get(context.Context, bucket.Object, bucket.Reserve) ([]byte, error) {
	panic("no such header")
}

// Objects are read by goroutines whose panics nobody recovered.
func TestAClientThatPanicsDoesNotEndTheProcess(t *testing.T) {
	listed := objectListing{objects: map[string]bucket.Object{"a.yaml": {Key: "a.yaml", Size: 1}}, bytes: 1}
	_, err := (&Reconciler{}).files(t.Context(), &sourcev1.Bucket{}, &openedBucket{bucket: panicking{}}, listed, nil)
	if err == nil || !strings.Contains(err.Error(), "panic: no such header") {
		t.Errorf("got %v", err)
	}
}

// unpacking is a bucket whose objects have another size than in the list, since they are unpacked.
type unpacking struct {
	bucket.Bucket
	text string
}

func (u unpacking) Get(_ context.Context, o bucket.Object, reserve bucket.Reserve) ([]byte, error) {
	return []byte(u.text), reserve(int64(len(u.text)) - o.Size)
}

func TestWhatIsUnpackedHasNoMoreRoomThanWhatIsNot(t *testing.T) {
	listed := objectListing{objects: map[string]bucket.Object{"a.yaml": {Key: "a.yaml", Size: 1}}, bytes: 1}
	files, err := (&Reconciler{}).files(t.Context(), &sourcev1.Bucket{}, &openedBucket{bucket: unpacking{text: "abc"}}, listed, nil)
	if err != nil || files == nil {
		t.Errorf("three bytes: %v", err)
	}
	listed.bytes = maxBytes - 1
	_, err = (&Reconciler{}).files(t.Context(), &sourcev1.Bucket{}, &openedBucket{bucket: unpacking{text: "abc"}}, listed, nil)
	if err == nil || !strings.Contains(err.Error(), "when they are unpacked") {
		t.Errorf("more than there may be: %v", err)
	}
	if reserve := ignoreRoom(bucket.Object{Size: 10}); reserve(maxIgnore-10) != nil || reserve(1) == nil {
		t.Error("a .sourceignore is not bounded")
	}
}
