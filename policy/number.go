// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"strconv"
	"strings"
)

// number is an exact decimal of any length:
//
//	± 0.D × 10^point, where D = lead+tail has neither a leading nor a trailing zero
//
// lead and tail are the digits around the decimal point, as slices of the parsed
// text: nothing is copied. Zero has no digits and no sign.
type number struct {
	negative   bool
	lead, tail string
	point      int
}

// maxExponent bounds the exponent, so that arithmetic on it cannot overflow.
const maxExponent = 1 << 30

// parseNumber reads [+-]digits[.digits][e[+-]digits], where one side of the
// point may be missing and underscores may be between digits: 2026_01_02. So does
// strconv.ParseFloat, which Flux uses, and hexadecimal numbers with their exponent of
// two, 0x1p4. Unlike it this one does not round, so that timestamps of 17 digits stay
// apart, and knows no infinities: a tag with the name inf is no number.
func parseNumber(text string) (number, bool) {
	var n number
	if text != "" && onlyDigits(text) {
		n.lead = text
		return n.normal(), true
	}
	if text != "" && (text[0] == '+' || text[0] == '-') {
		n.negative, text = text[0] == '-', text[1:]
	}
	text, ok := plainDigits(text)
	if !ok {
		return number{}, false
	}
	mantissa := text
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		exponent, err := strconv.Atoi(text[at+1:])
		if err != nil || exponent > maxExponent || exponent < -maxExponent {
			return number{}, false
		}
		mantissa, n.point = text[:at], exponent
	}
	n.lead, n.tail, _ = strings.Cut(mantissa, ".")
	if n.lead == "" && n.tail == "" || !onlyDigits(n.lead) || !onlyDigits(n.tail) {
		return number{}, false
	}
	return n.normal(), true
}

// plainDigits returns an unsigned number without underscores and in decimal.
func plainDigits(text string) (string, bool) {
	if len(text) > 2 && text[0] == '0' && text[1]|0x20 == 'x' {
		value, err := strconv.ParseFloat(text, 64)
		return strconv.FormatFloat(value, 'f', -1, 64), err == nil
	}
	if strings.IndexByte(text, '_') < 0 {
		return text, true
	}
	for i := range len(text) {
		if text[i] == '_' && (i == 0 || i+1 == len(text) || !onlyDigits(text[i-1:i]) || !onlyDigits(text[i+1:i+2])) {
			return "", false
		}
	}
	return strings.ReplaceAll(text, "_", ""), true
}

func onlyDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// normal drops the zeros around the digits and sets the point accordingly.
func (n number) normal() number {
	n.lead = strings.TrimLeft(n.lead, "0")
	n.point += len(n.lead)
	n.tail = strings.TrimRight(n.tail, "0")
	if n.lead == "" {
		significant := strings.TrimLeft(n.tail, "0")
		n.point -= len(n.tail) - len(significant)
		n.tail = significant
	}
	if n.tail == "" {
		n.lead = strings.TrimRight(n.lead, "0")
	}
	if n.lead == "" && n.tail == "" {
		return number{}
	}
	return n
}

// compare returns -1, 0 or 1 as n is less than, equal to or greater than m.
func (n *number) compare(m *number) int {
	if n.sign() != m.sign() || n.sign() == 0 {
		return cmp.Compare(n.sign(), m.sign())
	}
	if order := cmp.Compare(n.point, m.point); order != 0 {
		return n.sign() * order
	}
	return n.sign() * n.compareDigits(m)
}

func (n *number) sign() int {
	switch {
	case n.lead == "" && n.tail == "":
		return 0
	case n.negative:
		return -1
	}
	return 1
}

// compareDigits compares the digits after the common point; a missing digit
// sorts before every other, which is right because the last is never zero.
func (n *number) compareDigits(m *number) int {
	if n.tail == "" && m.tail == "" {
		return strings.Compare(n.lead, m.lead)
	}
	for i := range max(n.length(), m.length()) {
		if order := cmp.Compare(n.digit(i), m.digit(i)); order != 0 {
			return order
		}
	}
	return 0
}

func (n *number) length() int { return len(n.lead) + len(n.tail) }

func (n *number) digit(i int) byte {
	switch {
	case i < len(n.lead):
		return n.lead[i]
	case i < n.length():
		return n.tail[i-len(n.lead)]
	}
	return 0
}
