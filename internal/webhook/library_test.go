// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/hashicorp/go-retryablehttp"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/webhook"
	"github.com/sluice-cd/sluice/test/runnable"
)

// busy is a receiver that asks for two hours.
type busy struct{}

func (busy) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"7200"}},
		Body: io.NopCloser(strings.NewReader("too many")),
	}, nil
}

// What a receiver that asks for two hours holds up its queue for when it is asked once more, and
// what the error tells then. `go test -v` says it.
func TestARetryAfterOfHoursWithLibrariesAndHere(t *testing.T) {
	const address = "http://chat.example/services/tellnobody"
	for name, tc := range map[string]struct {
		post            func(context.Context) error
		waited          time.Duration
		answer, secrets bool // in the error
	}{
		"ours": {func(ctx context.Context) error {
			_, err := webhook.NewClient(clock.RealClock{}, nil).Post(ctx, webhook.Message{
				URL: address, Transport: busy{}, Timeout: time.Minute, Retries: 1, MaxSuccess: 202, QuoteAnswer: true,
			})
			return err
		}, 30 * time.Second, true, false},
		"go-retryablehttp": {func(context.Context) error {
			client := retryablehttp.NewClient()
			client.HTTPClient, client.RetryMax, client.Logger = &http.Client{Transport: busy{}}, 1, nil
			resp, err := client.Post(address, "application/json", nil)
			if err == nil {
				_ = resp.Body.Close()
			}
			return err
		}, 2 * time.Hour, false, true},
		"cenkalti/backoff, which is told of half a minute": {func(ctx context.Context) error {
			_, err := backoff.Retry(ctx, func() (int, error) { return 0, backoff.RetryAfter(30) }, backoff.WithMaxTries(2))
			return err
		}, 30 * time.Second, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				err := tc.post(t.Context())
				waited := time.Since(begun)
				t.Logf("%s, then %v", waited, err)
				answer, secrets := strings.Contains(text(err), "too many"), strings.Contains(text(err), "tellnobody")
				if err == nil || waited != tc.waited || answer != tc.answer || secrets != tc.secrets {
					t.Errorf("want %s, with the answer: %t, with the path: %t", tc.waited, tc.answer, tc.secrets)
				}
			})
		})
	}
}

// How long a message waits behind ten receivers that hang for a minute each.
func TestReceiversThatHangDelayOthersInAWorkqueueAndNotHere(t *testing.T) {
	hang := func(context.Context) { time.Sleep(time.Minute) } // of the bubble
	for name, tc := range map[string]struct {
		deliver func(t *testing.T, quick func(context.Context)) (stop func())
		want    time.Duration
	}{
		"ours": {func(t *testing.T, quick func(context.Context)) func() {
			o := webhook.NewQueue(clock.RealClock{})
			for i := range 10 {
				o.Put("apps", string(rune('a'+i)), hang)
			}
			o.Put("apps", "quick", quick)
			return runnable.Start(t, o)
		}, 0},
		"a workqueue with five workers": {func(t *testing.T, quick func(context.Context)) func() {
			q := workqueue.NewTyped[string]()
			deliveries := map[string]func(context.Context){"quick": quick}
			for i := range 10 {
				deliveries[string(rune('a'+i))] = hang
				q.Add(string(rune('a' + i)))
			}
			q.Add("quick")
			for range 5 {
				go func() {
					for key, stopped := q.Get(); !stopped; key, stopped = q.Get() {
						deliveries[key](t.Context())
						q.Done(key)
					}
				}()
			}
			return q.ShutDownWithDrain
		}, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun, delivered := time.Now(), make(chan time.Duration, 1)
				stop := tc.deliver(t, func(context.Context) { delivered <- time.Since(begun) })
				if got := <-delivered; got != tc.want {
					t.Errorf("%s, want %s", got, tc.want)
				}
				stop()
			})
		})
	}
}
