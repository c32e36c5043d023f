// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/notify/dispatch"
	"github.com/sluice-cd/sluice/notify/outbox"
)

// Flux's controllers take 429 for a duplicate: the event was dropped, and nobody was told.
func TestAnEventThatThereIsNoRoomForIsNotADuplicate(t *testing.T) {
	b := newTestEnv(t, nil, provider("https://chat.example.com"), alert())
	body, err := json.Marshal(event("done"))
	if err != nil {
		t.Fatal(err)
	}
	large := json.RawMessage(`"` + strings.Repeat("x", 128<<10-2) + `"`)
	for i := 0; err == nil; i++ {
		err = b.outbox.Put(outbox.Entry{ID: fmt.Sprint(i), Namespace: "apps", Receiver: fmt.Sprint(i), Body: large})
	}
	if !errors.Is(err, outbox.ErrFull) {
		t.Fatal(err)
	}
	endpoint := dispatch.NewEndpoint(b.Dispatcher)
	answer := httptest.NewRecorder()
	endpoint.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body)))
	if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") != "" {
		t.Errorf("it is answered with %d, %v: %s", answer.Code, answer.Header(), answer.Body)
	}
}
