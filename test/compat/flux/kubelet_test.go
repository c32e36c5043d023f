// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
)

// serveLogs is the one thing that a kubelet does which simulated nodes do not:
// it answers for logs. Whichever container of the installation is asked for,
// the log is that of the controller process. The API server is told by the
// nodes' statuses to ask here.
func (w *testEnv) serveLogs(t *testing.T) {
	t.Helper()
	kubelet := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/containerLogs/flux-system/sluice-") || !strings.HasSuffix(r.URL.Path, "/manager") {
			http.NotFound(rw, r)
			return
		}
		log, err := os.Open(w.sluice.Log())
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		defer log.Close()
		_, _ = io.Copy(rw, log)
	}))
	t.Cleanup(kubelet.Close)
	port := kubelet.Listener.Addr().(*net.TCPAddr).Port
	w.pointNodes(t.Context(), t, int32(port))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
		defer cancel()
		w.pointNodes(ctx, t, 0)
	})
}

// pointNodes tells the API server where the kubelets of all nodes listen.
func (w *testEnv) pointNodes(ctx context.Context, t *testing.T, port int32) {
	t.Helper()
	var nodes corev1.NodeList
	if err := w.Client.List(ctx, &nodes); err != nil {
		t.Fatal(err)
	}
	for i := range nodes.Items {
		node := &nodes.Items[i]
		before := node.DeepCopy()
		node.Status.DaemonEndpoints.KubeletEndpoint.Port = port
		if err := w.Client.Status().Patch(ctx, node, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
	}
}
