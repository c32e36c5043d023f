// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"testing"

	"github.com/sluice-cd/sluice/ui"
)

// The demo waited in vain for the address that sluice ui prints, which had got another form.
func TestTheAddressThatIsPrintedIsFound(t *testing.T) {
	want := ui.LoginURL(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}, "TOKEN")
	if got := pageAddress.FindString("reading the cluster as eve; interrupt to end\n" + want + "\n"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
