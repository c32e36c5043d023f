// SPDX-License-Identifier: Apache-2.0

package output

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Width is how many characters a line of the terminal has; 0 if w is none.
func Width(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// ellipsis stands for what was cut off.
const ellipsis = "..."

// Fit cuts a line at a width, between words where there are any; 0 is no limit.
func Fit(line string, width int) string {
	text := []rune(line)
	if width <= 0 || len(text) <= width {
		return line
	}
	if width <= len(ellipsis) {
		return string(text[:width])
	}
	cut := string(text[:width-len(ellipsis)])
	if next := text[width-len(ellipsis)]; next != ' ' {
		if at := strings.LastIndexByte(cut, ' '); at > len(cut)/2 {
			cut = cut[:at]
		}
	}
	return strings.TrimRight(cut, " ") + ellipsis
}
