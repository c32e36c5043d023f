// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"fmt"
	"testing"

	"k8s.io/client-go/rest"
)

// One client was once kept for each ServiceAccount that there ever was.
func TestClientsOfIdentitiesThatAreGoneAreNotKept(t *testing.T) {
	c := NewClients(&rest.Config{Host: "http://127.0.0.1:1"}, nil, "test")
	of := func(name string) *client {
		t.Helper()
		made, err := c.identity(Impersonation{Namespace: "ns", ServiceAccount: name})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	used := of("used")
	for i := range 2 * maxClients {
		of(fmt.Sprint("sa-", i))
		if of("used") != used {
			t.Fatal("an identity that applies all the time got another client")
		}
	}
	if _, kept := c.pool.Usage(); kept != maxClients {
		t.Errorf("%d clients are kept, want %d", kept, maxClients)
	}
}
