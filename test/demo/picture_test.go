// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestAPictureShowsWhatWasPrintedInItsColours(t *testing.T) {
	got := string(draw("\n\x1b[1mpush\x1b[0m of 1.1.0\n+ a < b && \x1b[32mgood\x1b[0m\n"))
	for _, want := range []string{
		`<tspan fill="#ffffff">push</tspan> of 1.1.0`,
		`+ a &lt; b &amp;&amp; <tspan fill="#7ee787">good</tspan>`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if strings.Contains(got, "\x1b") {
		t.Error("an escape sequence is left")
	}
	for d := xml.NewDecoder(strings.NewReader(got)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
