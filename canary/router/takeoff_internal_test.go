// SPDX-License-Identifier: Apache-2.0

package router

import (
	"encoding/json"
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
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
		"a TrafficSplit with quantities": {
			`{"backends":[{"service":"app-canary","weight":"10"},{"service":"app-primary","weight":"90"}]}`,
			`{"backends":[{"service":"app-canary","weight":"0"},{"service":"app-primary","weight":"100"}]}`,
		},
		"a RouteTable, of another port too": {
			`{"routes":[{"routeAction":{"multi":{"destinations":[{"destination":{"upstream":{"name":"apps-app-primaryupstream-80"}},"weight":90},` +
				`{"destination":{"upstream":{"name":"apps-app-canaryupstream-80"}},"weight":10}]}}}]}`,
			`{"routes":[{"routeAction":{"multi":{"destinations":[{"destination":{"upstream":{"name":"apps-app-primaryupstream-80"}},"weight":100},` +
				`{"destination":{"upstream":{"name":"apps-app-canaryupstream-80"}},"weight":0}]}}}]}`,
		},
		"a TrafficRoute": {
			`{"conf":{"split":[{"destination":{"kuma.io/service":"app-primary_apps_svc_80"},"weight":90},` +
				`{"destination":{"kuma.io/service":"app-canary_apps_svc_80"},"weight":10}]}}`,
			`{"conf":{"split":[{"destination":{"kuma.io/service":"app-primary_apps_svc_80"},"weight":100},` +
				`{"destination":{"kuma.io/service":"app-canary_apps_svc_80"},"weight":0}]}}`,
		},
		"who was chosen, and who has a cookie": {
			`{"rules":[{"matches":[{"headers":[{"name":"x-user"}]}],` +
				`"backendRefs":[{"name":"app-primary","weight":0},{"name":"app-canary","weight":100}]},` +
				`{"backendRefs":[{"name":"app-primary","weight":100}]}]}`,
			`{"rules":[{"backendRefs":[{"name":"app-primary","weight":100},{"name":"app-canary","weight":0}],` +
				`"matches":[{"headers":[{"name":"x-user"}]}]},` +
				`{"backendRefs":[{"name":"app-primary","weight":100}]}]}`,
		},
		"a rule by which somebody looks at the canary": {
			`{"rules":[{"backendRefs":[{"name":"app-canary","weight":1}]}]}`, `{"rules":[{"backendRefs":[{"name":"app-canary","weight":1}]}]}`,
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
			c := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"}}
			c.Spec.Service.Name, c.Spec.Service.Port = "app", 8080
			newCopyNames(c).leave(live)
			got, err := json.Marshal(live)
			if wanted, _ := json.Marshal(want); err != nil || string(got) != string(wanted) {
				t.Errorf("got %s, want %s", got, wanted)
			}
		})
	}
}
