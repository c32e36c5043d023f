// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"net/url"

	"github.com/sluice-cd/sluice/internal/mask"
)

// maxSecret is the longest value that is hidden: no server repeats a longer one within
// what is quoted of it.
const maxSecret = 16 << 10

// newSecrets hides the values of a Secret, and what of an address is one, in errors:
// a server that refuses a key likes to repeat it.
func newSecrets(data map[string][]byte, address string) *mask.Mask {
	var all []string
	for key, value := range data {
		if key != "ca.crt" && key != "tls.crt" && len(value) <= maxSecret {
			all = append(all, string(value))
		}
	}
	if name, ok := data["username"]; ok {
		all = append(all, string(name)+":"+string(data["password"]))
	}
	if u, err := url.Parse(address); err == nil {
		if password, ok := u.User.Password(); ok {
			all = append(all, password)
		}
		for _, values := range u.Query() {
			all = append(all, values...)
		}
	}
	return mask.New(all...)
}
