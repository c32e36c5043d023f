// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/test/runnable"
)

func TestEventsReachTheNotificationController(t *testing.T) {
	got := make(chan eventv1.Event, 1)
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable) // it starts later than we do
			return
		}
		var e eventv1.Event
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Error(err)
		}
		got <- e
	}))
	defer server.Close()
	scheme := runtime.NewScheme()
	if err := imagev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f, err := NewForwarder(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	f.client.RetryWaitMin = time.Millisecond
	stop := runnable.Start(t, f)
	told, ok := translation{scheme, clocktesting.NewFakePassiveClock(now), "host"}.event(&imagev1.ImagePolicy{ObjectMeta: metav1.ObjectMeta{
		Namespace: "apps", Name: "app", Annotations: map[string]string{eventv1.Group + "/team": "a", "other": "b"},
	}}, "image-reflector-controller", Event{
		Type: corev1.EventTypeWarning, Reason: "Failed", Message: "it failed", Metadata: map[string]string{"policy": "app"},
	})
	if !ok {
		t.Fatal("a kind of ours has no events")
	}
	f.Forward(told)
	want := eventv1.Event{
		InvolvedObject: corev1.ObjectReference{Kind: "ImagePolicy", APIVersion: "image.toolkit.fluxcd.io/v1", Namespace: "apps", Name: "app"},
		Severity:       eventv1.EventSeverityError, Timestamp: metav1.NewTime(now), Message: "it failed", Reason: "Failed",
		Metadata:            map[string]string{eventv1.Group + "/team": "a", "policy": "app"},
		ReportingController: "image-reflector-controller", ReportingInstance: "host",
	}
	if diff := cmp.Diff(want, <-got); diff != "" {
		t.Error(diff)
	}
	stop()
}

func TestAnAddressThatIsNoneIsRefused(t *testing.T) {
	if _, err := NewForwarder("notification-controller"); err == nil {
		t.Error("no error")
	}
}

func TestAWarningAboutWhatWorksIsNoFailureForAlerts(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := imagev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	own := map[string]string{"policy": "app"}
	told, ok := translation{scheme, clocktesting.NewFakePassiveClock(time.Time{}), "host"}.event(&imagev1.ImagePolicy{}, "c",
		Event{Type: corev1.EventTypeWarning, Reason: "UnknownFields", Message: "a typo", Metadata: own, Advice: true, Token: "2"})
	want := map[string]string{"policy": "app", eventv1.Group + "/warning": "true", "image.toolkit.fluxcd.io/token": "2"}
	if diff := cmp.Diff(want, told.Metadata); !ok || told.Severity != eventv1.EventSeverityInfo || diff != "" {
		t.Errorf("severity %q\n%s", told.Severity, diff)
	}
	if len(own) != 1 {
		t.Errorf("the Kubernetes event was changed: %v", own)
	}
}
