// SPDX-License-Identifier: Apache-2.0

// Package plot draws lines over axes as SVG, for pages, terminals that can and a user interface:
//
//	Figure   panels below each other, each with its axes
//	Line     points that are joined, by straight lines or by steps
//	Bound    a value that lines are compared with; Mark, a moment
//
// Colours are the colours of the reader's light or dark mode; the same data gives the same
// bytes, so that pictures of pages can be compared with what commands print. Of the libraries
// that do this in Go, gonum/plot knows no dark mode, and v0.17.0 comes with 57 packages of nine modules (go list -deps), fonts, LaTeX
// and PDF among them: a program that does no more than import it has 7 MB more than an empty one. The small ones have a single
// user. What is needed are the few elements of SVG 1.1 below.
package plot

// Figure is a picture.
type Figure struct {
	Title  string
	Panels []Panel
}

// Panel is lines over two axes.
type Panel struct {
	Title  string
	X, Y   Axis
	Lines  []Line
	Bounds []Bound
	Marks  []Mark
	// Height of the area of the lines, in pixels; 0 is 180.
	Height int
}

// Unit is how the values of an axis are written.
type Unit int

const (
	// Number is written as it is.
	Number Unit = iota
	// Percent is 100 times the value.
	Percent
	// Duration is in seconds.
	Duration
)

// Axis is one of the two of a panel.
type Axis struct {
	Label string
	Unit  Unit
	// Log places values by their logarithms; those that have none are not drawn.
	Log bool
	// Min and Max are what is shown; without them that is what the data has.
	Min, Max float64
}

// Point is a point of a line. One that is no number interrupts it.
type Point struct{ X, Y float64 }

// Line is a line of a panel.
type Line struct {
	Name   string
	Colour Colour
	Style  Style
	Points []Point
}

// Style is how the points of a line are joined.
type Style int

const (
	// Solid joins points by straight lines.
	Solid Style = iota
	// Dashed does so, too.
	Dashed
	// Stepped keeps a value until the next point.
	Stepped
)

// Colour is one of a palette.
type Colour int

// The palette.
const (
	Blue Colour = iota
	Red
	Green
	Orange
	Purple
	Grey
)

// Bound is a horizontal line.
type Bound struct {
	Name   string
	At     float64
	Colour Colour
}

// Mark is a vertical line.
type Mark struct {
	Name   string
	At     float64
	Colour Colour
}
