// SPDX-License-Identifier: Apache-2.0

package plot

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Sizes, in pixels.
const (
	width       = 760.0
	left, right = 66.0, 18.0
	titleHeight = 30.0
	legend      = 40.0 // above the lines of a panel
	below       = 46.0 // the labels of the axis of x
	lines       = 180.0
	letter      = 6.2 // about the width of one of 11 pixels
)

// colours are those of light and of dark mode.
var colours = [...]struct{ name, light, dark string }{
	Blue:   {"blue", "#0969da", "#58a6ff"},
	Red:    {"red", "#cf222e", "#ff7b72"},
	Green:  {"green", "#1a7f37", "#3fb950"},
	Orange: {"orange", "#9a6700", "#d29922"},
	Purple: {"purple", "#8250df", "#bc8cff"},
	Grey:   {"grey", "#656d76", "#8b949e"},
}

func (c Colour) class() string {
	if c < 0 || int(c) >= len(colours) {
		c = Grey
	}
	return colours[c].name
}

// drawing is an SVG in the making.
type drawing struct{ strings.Builder }

// SVG returns the figure as an SVG document.
func (f Figure) SVG() []byte {
	height := titleHeight
	for _, p := range f.Panels {
		height += p.height()
	}
	d := &drawing{}
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" role="img" font-size="11"`+
		` font-family="system-ui,-apple-system,Segoe UI,Roboto,sans-serif">`+"\n", width, height)
	fmt.Fprintf(d, "<title>%s</title>\n", escape(f.Title))
	d.style()
	fmt.Fprintf(d, `<rect class="paper" width="%g" height="%g" rx="6"/>`+"\n", width, height)
	d.text(left, 20, "title", f.Title)
	top := titleHeight
	for _, p := range f.Panels {
		d.panel(p, top)
		top += p.height()
	}
	d.WriteString("</svg>\n")
	return []byte(d.String())
}

// style has what differs between light and dark.
func (d *drawing) style() {
	mode := func(paper, ink, faint string, colour func(int) string) string {
		var rules strings.Builder
		fmt.Fprintf(&rules, ".paper{fill:%s}text{fill:%s}.grid{stroke:%s}.frame{stroke:%s}", paper, ink, faint, ink)
		for i, c := range colours {
			fmt.Fprintf(&rules, ".%s{stroke:%s}text.%s{fill:%s;stroke:none}", c.name, colour(i), c.name, colour(i))
		}
		return rules.String()
	}
	fmt.Fprintf(d, "<style>%s\n@media (prefers-color-scheme:dark){%s}\n",
		mode("#ffffff", "#1f2328", "#d8dee4", func(i int) string { return colours[i].light }),
		mode("#0d1117", "#c9d1d9", "#30363d", func(i int) string { return colours[i].dark }))
	d.WriteString("path,line{fill:none;stroke-width:1.6}.grid{stroke-width:.6}.frame{stroke-width:1}" +
		".dashed{stroke-dasharray:5 4}.dotted{stroke-dasharray:2 3}.title{font-size:14px;font-weight:600}.head{font-weight:600}" +
		".end{text-anchor:end}.middle{text-anchor:middle}</style>\n")
}

func (d *drawing) text(x, y float64, class, text string) {
	fmt.Fprintf(d, `<text x="%s" y="%s" class="%s">%s</text>`+"\n", px(x), px(y), class, escape(text))
}

// escape makes a text one of XML, which does not have all characters.
func escape(text string) string {
	return html.EscapeString(strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError || r >= 0xfffe && r <= 0xffff {
			return ' '
		}
		return r
	}, text))
}

func (d *drawing) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(d, `<line x1="%s" y1="%s" x2="%s" y2="%s" class="%s"/>`+"\n", px(x1), px(y1), px(x2), px(y2), class)
}

// px is a length to a tenth of a pixel.
func px(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

func (p Panel) height() float64 {
	if p.Height > 0 {
		return float64(p.Height) + legend + below
	}
	return lines + legend + below
}

// area is where the lines of a panel are, and how values are placed in it.
type area struct {
	x, y                   scale
	top, bottom, low, high float64 // low and high are the ends of x
}

func (d *drawing) panel(p Panel, top float64) {
	xs, ys := p.values()
	a := area{x: p.X.scale(xs, left, width-right), y: p.Y.scale(ys, top+p.height()-below, top+legend),
		top: top + legend, bottom: top + p.height() - below, low: left, high: width - right}
	d.text(left, top+13, "head", p.Title)
	d.axes(p, a)
	d.legend(p, top+30)
	for _, b := range p.Bounds {
		if y, ok := a.y.place(b.At); ok {
			d.line(a.low, y, a.high, y, "dashed "+b.Colour.class())
			d.text(a.high-4, y-4, "end "+b.Colour.class(), b.Name)
		}
	}
	for _, l := range p.Lines {
		if path := a.path(l); path != "" {
			class := l.Colour.class()
			if l.Style == Dashed {
				class += " dashed"
			}
			fmt.Fprintf(d, `<path d="%s" class="%s"/>`+"\n", path, class)
		}
	}
	for i, m := range p.Marks {
		d.mark(m, a, i)
	}
}

// mark draws a moment, and its name to where there is room.
func (d *drawing) mark(m Mark, a area, i int) {
	x, ok := a.x.place(m.At)
	if !ok {
		return
	}
	d.line(x, a.top, x, a.bottom, "dotted "+m.Colour.class())
	class, at := m.Colour.class(), x+4
	if x+letter*float64(len(m.Name)) > a.high {
		class, at = "end "+class, x-4
	}
	d.text(at, a.top+12+14*float64(i), class, m.Name)
}

func (d *drawing) axes(p Panel, a area) {
	for _, v := range a.x.ticks(p.X.Unit, 8) {
		x, _ := a.x.place(v)
		d.line(x, a.top, x, a.bottom, "grid")
		d.text(x, a.bottom+15, "middle", p.X.Unit.text(v))
	}
	for _, v := range a.y.ticks(p.Y.Unit, 6) {
		y, _ := a.y.place(v)
		d.line(a.low, y, a.high, y, "grid")
		d.text(a.low-6, y+4, "end", p.Y.Unit.text(v))
	}
	d.line(a.low, a.top, a.low, a.bottom, "frame")
	d.line(a.low, a.bottom, a.high, a.bottom, "frame")
	d.text((a.low+a.high)/2, a.bottom+32, "middle", p.X.Label)
}

// legend names the axis of y and the lines, in a row.
func (d *drawing) legend(p Panel, y float64) {
	x := left
	if p.Y.Label != "" {
		d.text(x, y, "", p.Y.Label+":")
		x += letter*float64(len([]rune(p.Y.Label))) + 16
	}
	for _, l := range p.Lines {
		if l.Name == "" {
			continue
		}
		class := l.Colour.class()
		if l.Style == Dashed {
			class += " dashed"
		}
		d.line(x, y-4, x+18, y-4, class)
		d.text(x+23, y, "", l.Name)
		x += 23 + letter*float64(len([]rune(l.Name))) + 16
	}
}

// values are all of a panel, of which the axes show the range.
func (p Panel) values() (xs, ys []float64) {
	for _, l := range p.Lines {
		for _, pt := range l.Points {
			xs, ys = append(xs, pt.X), append(ys, pt.Y)
		}
	}
	for _, b := range p.Bounds {
		ys = append(ys, b.At)
	}
	for _, m := range p.Marks {
		xs = append(xs, m.At)
	}
	return xs, ys
}

// path joins the points of a line. Points that are on the pixel of the one before are left out.
func (a area) path(l Line) string {
	var b strings.Builder
	command, last, lastY := "M", "", 0.0
	for _, p := range l.Points {
		x, okX := a.x.place(p.X)
		y, okY := a.y.place(p.Y)
		if !okX || !okY {
			command, last = "M", ""
			continue
		}
		if l.Style == Stepped && command == "L" {
			fmt.Fprintf(&b, "L%s %s", px(x), px(lastY))
		}
		if at := px(x) + " " + px(y); at != last {
			b.WriteString(command + at)
			command, last, lastY = "L", at, y
		}
	}
	return b.String()
}
