// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"slices"
	"testing"
)

func TestUndoRules(t *testing.T) {
	for name, tc := range map[string]struct{ saved, want string }{
		"a host without Kubernetes has nothing to undo": {
			saved: "*filter\n:INPUT ACCEPT [0:0]\n:DOCKER - [0:0]\n-A INPUT -j DOCKER\nCOMMIT\n",
		},
		"our chains and the jumps to them go, others stay": {
			saved: `# Generated
*nat
:PREROUTING ACCEPT [3:4]
:DOCKER - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-ABC - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -j DOCKER
-A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-SVC-ABC
COMMIT
*filter
:INPUT ACCEPT [0:0]
COMMIT
`,
			want: `*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-ABC - [0:0]
-D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-X KUBE-SERVICES
-X KUBE-SVC-ABC
COMMIT
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := undoRules(tc.saved); got != tc.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tc.want)
			}
		})
	}
}

func FuzzUndoRules(f *testing.F) {
	f.Add("*nat\n:KUBE-A - [0:0]\n-A PREROUTING -j KUBE-A\nCOMMIT\n")
	f.Add(":KUBE-")
	f.Fuzz(func(_ *testing.T, saved string) { undoRules(saved) })
}

func TestMountsBelow(t *testing.T) {
	table := `1 0 8:1 / / rw - ext4 /dev/vda rw
2 1 0:5 / /play/data rw - tmpfs tmpfs rw
3 2 0:6 / /play/data/a\040b rw - tmpfs tmpfs rw
4 1 0:7 / /playground/x rw - tmpfs tmpfs rw
5 1 0:8 / /play rw - tmpfs tmpfs rw
bad line
`
	want := []string{"/play/data", "/play/data/a b"}
	if got := mountsBelow(table, "/play"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzMountsBelow(f *testing.F) {
	f.Add("1 0 8:1 / /a\\040b rw - ext4 /dev/vda rw")
	f.Fuzz(func(_ *testing.T, table string) { mountsBelow(table, "/a") })
}

func TestBridgeNameFitsTheKernel(t *testing.T) {
	for _, dir := range []string{"/a", "/a/very/long/folder/that/goes/on/and/on"} {
		n := &Node{Dir: dir}
		if name := n.Bridge(); len(name) > 15 {
			t.Errorf("%q is longer than a network device's name may be", name)
		}
		if socket := n.Socket() + ".ttrpc"; len(socket) > 107 {
			t.Errorf("%q is longer than a socket's path may be", socket)
		}
	}
}
