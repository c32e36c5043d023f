// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"net/url"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

func TestOnlyServicesOfTheCanarysNamespaceAreQuoted(t *testing.T) {
	c := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"}}
	for address, want := range map[string]bool{
		"http://tester.apps/gate":                    true,
		"http://tester.apps:8080":                    true,
		"https://user:password@tester.apps.svc/gate": true,
		"http://tester.apps.svc.cluster.local/":      true,
		"http://tester.apps.svc.cluster.local./":     true,
		"http://tester/":                             false, // resolves in the controller's namespace
		"http://tester.theirs/":                      false,
		"http://tester.theirs.svc.apps/":             false,
		"http://vault.apps.example.com/":             false,
		"http://apps/":                               false,
		"http://127.0.0.1/":                          false,
		"http://10.apps.1.1/":                        false,
		"http://[::1]/":                              false,
		"http://tester.apps@evil.example/":           false,
		"http://evil.example/tester.apps":            false,
	} {
		target, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := inNamespaceOf(c, target); got != want {
			t.Errorf("%s: got %t", address, got)
		}
	}
}
