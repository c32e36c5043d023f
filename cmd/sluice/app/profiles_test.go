// SPDX-License-Identifier: Apache-2.0

package app

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestProfilesDoNotShowTheCommandLine(t *testing.T) {
	const token = "xoxb-of-a-flag"
	before := os.Args
	defer func() { os.Args = before }()
	os.Args = []string{"sluice", "controller", "--slack-token=" + token}
	for path, want := range map[string]int{
		"/debug/pprof/":        http.StatusOK,
		"/debug/pprof/heap":    http.StatusOK,
		"/debug/pprof/symbol":  http.StatusOK,
		"/debug/pprof/cmdline": http.StatusNotFound,
		"/debug/vars":          http.StatusNotFound,
	} {
		answer := httptest.NewRecorder()
		profiles().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		if answer.Code != want {
			t.Errorf("%s: %d, want %d", path, answer.Code, want)
		}
		if strings.Contains(answer.Body.String(), token) {
			t.Errorf("%s shows the token", path)
		}
	}
}

func TestProfilesAreServedOnLoopbackOnly(t *testing.T) {
	for address, fine := range map[string]bool{
		"": true, "0": true, "127.0.0.1:6060": true, "[::1]:6060": true, "localhost:6060": true,
		":6060": false, "0.0.0.0:6060": false, "[::]:6060": false, "10.0.0.7:6060": false, "pod.example:6060": false,
	} {
		f, set := flags{}, pflag.NewFlagSet("", pflag.ContinueOnError)
		f.register(set)
		if err := set.Parse([]string{"--pprof-addr=" + address}); err != nil {
			t.Fatal(err)
		}
		if err := f.validate(); fine != (err == nil) || err != nil && !strings.Contains(err.Error(), "--pprof-addr: ") {
			t.Errorf("%q: %v", address, err)
		}
	}
}
