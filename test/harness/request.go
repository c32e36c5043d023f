// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// RequestReconcile asks for a reconcile of an object, of which the namespace and the name
// are enough, as `flux reconcile` and Receivers do. It returns the value that the
// controller copies to status.lastHandledReconcileAt.
func (p *Playground) RequestReconcile(ctx context.Context, object client.Object) (string, error) {
	at := time.Now().Format(time.RFC3339Nano)
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, at)
	return at, p.Client.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch))
}

// SourceManifest is a GitRepository of a repository of the playground, which is fetched
// once an hour and when somebody asks for it, and the Secret git with its credentials.
func (p *Playground) SourceManifest(namespace, name string, repo *Repo) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: git, namespace: %[1]s}
stringData: {username: %[4]q, password: %[5]q}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: %[2]s, namespace: %[1]s}
spec: {url: %[3]q, interval: 1h, ref: {branch: %[6]s}, secretRef: {name: git}}
---
`, namespace, name, repo.URL, p.GitUsername, p.GitPassword, Branch)
}
