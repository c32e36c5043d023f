// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"testing"

	"k8s.io/utils/clock"
)

func TestDriversCanDoWhatTheTableSays(t *testing.T) {
	for name, p := range providers {
		u, err := parse("https://forge.example/scm/acme/_git/fleet")
		if err != nil {
			t.Fatal(err)
		}
		d, err := p.connect(&session{
			provider: name, table: p, repository: repository{api: u, path: []string{"acme", "fleet"}},
			clock: clock.RealClock{},
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for what, tc := range map[string]struct{ said, able bool }{
			"reopen":     {p.Reopen, d.reopening != nil},
			"auto-merge": {p.AutoMerge, d.autoMerge != nil},
			"queue":      {p.Queue, d.queue != nil},
		} {
			if tc.said != tc.able {
				t.Errorf("%s, %s: the table says %v, and the driver %v", name, what, tc.said, tc.able)
			}
		}
	}
}
