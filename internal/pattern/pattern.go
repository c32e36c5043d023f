// SPDX-License-Identifier: Apache-2.0

// Package pattern compiles the regular expressions of users' objects within bounds.
//
// Go's regular expressions take time in proportion to the text and to their own
// size, and never more. But a counted repetition makes a size of a few bytes:
// (a|b){0,500} is a program of a thousand instructions, and a text is matched against
// all of them at worst. So an expression may have a size, which is measured before
// anything is compiled, and whoever matches many texts asks how much work that is:
//
//	size x bytes of all texts = work    Light: at once; Most: outside of the workers;
//	                                    more: refused
package pattern

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
)

const (
	// MaxLength is the most bytes of one expression.
	MaxLength = 4096
	// MaxSize is the most instructions that one may come to.
	MaxSize = 2000
	// Light is the most work that is done at once: a tenth of a second at worst.
	Light = 5_000_000
	// Most is the most work that is done at all: some forty seconds at worst.
	Most = 2_000_000_000
)

// ErrTooLarge means that an expression is too large, or that there is too much to
// match with it.
var ErrTooLarge = errors.New("the regular expression is too large")

// Pattern is a compiled expression.
type Pattern struct {
	*regexp.Regexp
	// Size is about the number of its instructions.
	Size int
}

// Compile compiles an expression that is within the bounds. The error is
// [ErrTooLarge], or that of the syntax.
func Compile(expression string) (Pattern, error) {
	if len(expression) > MaxLength {
		return Pattern{}, fmt.Errorf("%w: it has %d bytes, and may have %d", ErrTooLarge, len(expression), MaxLength)
	}
	tree, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return Pattern{}, err
	}
	size := sizeOf(tree)
	if size > MaxSize {
		return Pattern{}, fmt.Errorf("%w: it comes to %d instructions or more, and may come to %d; repeat less in it", ErrTooLarge, size, MaxSize)
	}
	compiled, err := regexp.Compile(expression)
	return Pattern{compiled, size}, err
}

// Size is about how many instructions an expression comes to that somebody else will
// compile: more than [MaxSize] for one that is too large, and 0 for one that is none.
func Size(expression string) int {
	if len(expression) > MaxLength {
		return MaxSize + 1
	}
	tree, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return 0
	}
	return sizeOf(tree)
}

// Check returns an [ErrTooLarge] if matching texts of so many bytes with expressions
// of so large a size is more than is done for anybody.
func Check(size, bytes int) error {
	if int64(size)*int64(bytes) > Most {
		return fmt.Errorf("%w for so many tags: %d instructions for each of %d bytes; make it simpler, or remove old tags from the registry",
			ErrTooLarge, size, bytes)
	}
	return nil
}

// sizeOf is about the number of instructions of a tree, or more than MaxSize.
func sizeOf(tree *syntax.Regexp) int {
	size := 1
	switch tree.Op {
	case syntax.OpLiteral:
		size = len(tree.Rune)
	case syntax.OpRepeat:
		times := max(tree.Min+1, tree.Max, 1) // x{2,} is xxx*
		inner := sizeOf(tree.Sub[0]) + 1
		if inner > MaxSize {
			return inner
		}
		return times * inner
	}
	for _, sub := range tree.Sub {
		if size += sizeOf(sub); size > MaxSize {
			return size
		}
	}
	return size
}
