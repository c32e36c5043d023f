// SPDX-License-Identifier: Apache-2.0

package notify

import "context"

// acceptAny accepts every message: the path is the only secret. Azure DevOps, which signs
// nothing, sends to this type, too.
func acceptAny(_ context.Context, _ *Hooks, m message) (payload, error) {
	return payload{git: azureEvent(m.body)}, nil
}

// signedBody accepts a message with an HMAC of its body in a header.
func signedBody(header string) func(context.Context, *Hooks, message) (payload, error) {
	return func(_ context.Context, _ *Hooks, m message) (payload, error) {
		if err := verifySignature(m.header.Get(header), m); err != nil {
			return refuse("%s: %v", header, err)
		}
		return payload{}, nil
	}
}
