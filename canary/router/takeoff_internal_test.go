// SPDX-License-Identifier: Apache-2.0

package router

import (
	"encoding/json"
	"errors"
	"testing"
)

// Only weights may change: what else is in a live route was accepted once.
func TestUsersLeaveARouteAsItIs(t *testing.T) {
	for name, tc := range map[string]struct{ live, want string }{
		"an HTTPRoute": {
			`{"hostnames":["a"],"rules":[{"backendRefs":[{"name":"app-primary","port":80,"weight":50},{"name":"app-canary","weight":50}]}]}`,
			`{"hostnames":["a"],"rules":[{"backendRefs":[{"name":"app-primary","port":80,"weight":100},{"name":"app-canary","weight":0}]}]}`,
		},
		"a VirtualService": {
			`{"http":[{"route":[{"destination":{"host":"app-primary"},"weight":40},{"destination":{"host":"app-canary.apps"},"weight":60}]}]}`,
			`{"http":[{"route":[{"destination":{"host":"app-primary"},"weight":100},{"destination":{"host":"app-canary.apps"},"weight":0}]}]}`,
		},
		"a TrafficSplit": {
			`{"backends":[{"service":"app-canary","weight":10},{"service":"app-primary","weight":90}]}`,
			`{"backends":[{"service":"app-canary","weight":0},{"service":"app-primary","weight":100}]}`,
		},
		"an ApisixRoute": {
			`{"http":[{"backends":[{"serviceName":"app-primary","weight":90},{"serviceName":"app-canary","weight":10}]}]}`,
			`{"http":[{"backends":[{"serviceName":"app-primary","weight":100},{"serviceName":"app-canary","weight":0}]}]}`,
		},
		"backends of others": {
			`{"rules":[{"backendRefs":[{"name":"other","weight":1}]}]}`, `{"rules":[{"backendRefs":[{"name":"other","weight":1}]}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var live, want any
			if err := errors.Join(json.Unmarshal([]byte(tc.live), &live), json.Unmarshal([]byte(tc.want), &want)); err != nil {
				t.Fatal(err)
			}
			hosts{"apps", "app", "app-primary", "app-canary"}.leave(live)
			got, err := json.Marshal(live)
			if wanted, _ := json.Marshal(want); err != nil || string(got) != string(wanted) {
				t.Errorf("got %s, want %s", got, wanted)
			}
		})
	}
}
