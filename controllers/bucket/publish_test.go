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

func (panicking) Get(context.Context, bucket.Object) ([]byte, error) { panic("no such header") }

// Objects are read by goroutines whose panics nobody recovered.
func TestAClientThatPanicsDoesNotEndTheProcess(t *testing.T) {
	listed := objectListing{objects: map[string]bucket.Object{"a.yaml": {Key: "a.yaml", Size: 1}}, bytes: 1}
	_, err := (&Reconciler{}).files(t.Context(), &sourcev1.Bucket{}, &openedBucket{bucket: panicking{}}, listed, nil)
	if err == nil || !strings.Contains(err.Error(), "panic: no such header") {
		t.Errorf("got %v", err)
	}
}
