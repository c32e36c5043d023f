// SPDX-License-Identifier: Apache-2.0

package alert

// rocket posts to an incoming webhook of Rocket.Chat, which takes Slack's format
// but not its names of colors.
// See https://docs.rocket.chat/docs/integrations.
type rocket struct{ plain }

// Colors of Rocket.Chat's own palette.
const (
	colorBlue = "#0076D7"
	colorRed  = "#FF0000"
)

func (rocket) message(r room, n news) (any, error) {
	color := colorBlue
	if n.bad() {
		color = colorRed
	}
	return attached(r, n, color), nil
}
