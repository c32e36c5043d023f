// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"os"
	"regexp"
	"strings"
)

// picture keeps what goes through it, and draws it as a terminal shows it.
type picture struct {
	out  io.Writer
	text bytes.Buffer
	done bool // what follows is not drawn
}

// Write implements io.Writer.
func (p *picture) Write(data []byte) (int, error) {
	if !p.done {
		p.text.Write(data)
	}
	return p.out.Write(data)
}

// save writes what was printed as an SVG file.
func (p *picture) save(path string) error {
	return os.WriteFile(path, draw(p.text.String()), 0o644)
}

// Sizes of the picture, in pixels.
const (
	charWidth, lineHeight, margin = 7.8, 18, 16
)

// colours of the parameters of SGR, the escape sequence for text attributes (ECMA-48).
var colours = map[string]string{"1": "#ffffff", "2": "#8b949e", "31": "#ff7b72", "32": "#7ee787"}

var attribute = regexp.MustCompile(`\x1b\[([0-9]*)m`)

// draw renders text with SGR attributes.
func draw(text string) []byte {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	columns := 0
	for _, line := range lines {
		columns = max(columns, len([]rune(attribute.ReplaceAllString(line, ""))))
	}
	width, height := charWidth*float64(columns)+2*margin, lineHeight*len(lines)+2*margin
	var out bytes.Buffer
	fmt.Fprintf(&out,
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" font-family="ui-monospace,Menlo,Consolas,monospace" font-size="13">
<rect width="100%%" height="100%%" rx="8" fill="#0d1117"/>
`, width, height)
	for i, line := range lines {
		fmt.Fprintf(&out, `<text x="%d" y="%d" xml:space="preserve" fill="#c9d1d9">%s</text>`+"\n", margin, margin+lineHeight*i+13, spans(line))
	}
	out.WriteString("</svg>\n")
	return out.Bytes()
}

// spans are the parts of a line, coloured.
func spans(line string) string {
	var out strings.Builder
	colour, from := "", 0
	write := func(text string) {
		if text == "" {
			return
		}
		if colour == "" {
			out.WriteString(html.EscapeString(text))
			return
		}
		fmt.Fprintf(&out, `<tspan fill="%s">%s</tspan>`, colour, html.EscapeString(text))
	}
	for _, m := range attribute.FindAllStringSubmatchIndex(line, -1) {
		write(line[from:m[0]])
		colour, from = colours[line[m[2]:m[3]]], m[1]
	}
	write(line[from:])
	return out.String()
}
