// SPDX-License-Identifier: Apache-2.0

package imagerepository

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/scan"
)

// Policies go on with the tags that they had while a list is held, and the object
// says what is going on, and how it ended.
func TestAListThatLostManyTagsIsToldAndHeld(t *testing.T) {
	var tags []string
	for i := range 20 {
		tags = append(tags, fmt.Sprintf("1.0.%d", i))
	}
	f := newFixture(t, tags...)
	f.mustReconcile(t)
	for _, tag := range tags[:15] {
		ref, err := name.NewTag(f.host + "/team/app:" + tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Delete(ref); err != nil {
			t.Fatal(err)
		}
	}
	f.restart(scan.NewStore()) // the status alone knows what there was
	_, err := f.Reconcile(context.Background(), f.repo)
	if err == nil || f.Reason(err) != imagev1.ScanHeldReason || !strings.Contains(err.Error(), "15 of the 20") {
		t.Fatalf("got %v", err)
	}
	if diff := f.repo.Status.LastScanResult.TagCount - 20; diff != 0 {
		t.Errorf("the status has %d more tags", diff)
	}
	apimeta.SetStatusCondition(&f.repo.Status.Conditions, metav1.Condition{
		Type: meta.ReadyCondition, Status: metav1.ConditionFalse, Reason: f.Reason(err), Message: err.Error(),
	})
	f.clock.SetTime(f.clock.Now().Add(time.Minute))
	result, err := f.Reconcile(context.Background(), f.repo)
	if err != nil || f.repo.Status.LastScanResult.TagCount != 5 {
		t.Fatalf("after a second look: %v", err)
	}
	if len(result.Events) != 1 || !strings.Contains(result.Events[0].Message, "confirmed") {
		t.Errorf("got events %v", result.Events)
	}
}
