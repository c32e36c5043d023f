// SPDX-License-Identifier: Apache-2.0

package message

import (
	"fmt"
	"strings"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
)

// Markdown is an event as a text in Markdown, for Zulip and for comments on pull requests.
func Markdown(e Event) string {
	emoji := "ℹ️"
	if failed(e) {
		emoji = "⚠️"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "## Flux Status\n\n%s %s/%s/%s\n\n%s\n\nMetadata:\n",
		emoji, e.InvolvedObject.Kind, e.InvolvedObject.Namespace, e.InvolvedObject.Name, e.Message)
	for _, f := range fields(e) {
		if f.key != eventv1.MetaChangeRequestKey {
			fmt.Fprintf(&text, "* `%s`: %s\n", f.key, f.value)
		}
	}
	return text.String()
}
