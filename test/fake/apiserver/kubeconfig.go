// SPDX-License-Identifier: Apache-2.0

package apiserver

import "fmt"

// KubeConfig is a kubeconfig that leads to the API server at a URL, with a token; "" is none.
func KubeConfig(server, token string) []byte {
	user := "{}"
	if token != "" {
		user = fmt.Sprintf("{token: %s}", token)
	}
	return fmt.Appendf(nil, `
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q}}]
users: [{name: u, user: %s}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`, server, user)
}
