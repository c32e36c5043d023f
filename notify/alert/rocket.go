// SPDX-License-Identifier: Apache-2.0

package alert

// rocket posts to an incoming webhook of Rocket.Chat, which takes Slack's format
// but not its names of colors.
// See https://docs.rocket.chat/docs/integrations.
type rocket struct{ plainWebhook }

// Colors of Rocket.Chat's own palette.
const (
	colorBlue = "#0076D7"
	colorRed  = "#FF0000"
)

func (rocket) message(e endpoint, n notification) (any, error) {
	color := colorBlue
	if n.isError() {
		color = colorRed
	}
	return newAttachments(e, n, color), nil
}
