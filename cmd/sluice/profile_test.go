package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestProfilesAreWhereFluxHasThem(t *testing.T) {
	mux := http.NewServeMux()
	for path, handler := range profiles() {
		mux.Handle(path, handler)
	}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap?debug=1", "/debug/pprof/cmdline", "/debug/pprof/symbol"} {
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		if answer.Code != http.StatusOK || strings.Contains(path, "heap") && !strings.Contains(answer.Body.String(), "heap profile") {
			t.Errorf("%s: %d %.100s", path, answer.Code, answer.Body)
		}
	}
}
