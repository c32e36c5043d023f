// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/sluice-cd/sluice/internal/shorten"
)

// maxShown bounds a message: conditions hold 32 KiB and are read by people.
const (
	maxShown  = 8
	maxReason = 300
)

// findings are the signatures that were verified, and why each did not count.
type findings struct {
	found   []finding
	outages []error // signatures that could not be read
	skipped int     // signatures beyond maxSignatures
}

type finding struct {
	location string
	reason   string
}

// add adds an error about a signature: a reason why it does not count, or an outage.
func (f *findings) add(where string, err error) {
	if isFinding(err) {
		f.found = append(f.found, finding{where, oneLine(err.Error())})
		return
	}
	f.outages = append(f.outages, fmt.Errorf("reading %s: %w", where, err))
}

// err is the error if no signature counted. It is ErrUnverified only if
// all could be read: one that could not might have counted.
func (f *findings) err(ref name.Digest) error {
	if len(f.outages) > 0 {
		return fmt.Errorf("looking for signatures of %s: %w", ref, errors.Join(f.outages...))
	}
	return fmt.Errorf("%w of %s: %s", ErrUnverified, ref, f)
}

func (f *findings) String() string {
	if len(f.found) == 0 {
		return "it carries none"
	}
	var b strings.Builder
	if total := len(f.found) + f.skipped; total == 1 {
		b.WriteString("the one found does not count")
	} else {
		fmt.Fprintf(&b, "none of the %d found counts", total)
	}
	separator := ": "
	for i, one := range f.found {
		if i == maxShown {
			fmt.Fprintf(&b, "; and %d like these", len(f.found)-i)
			break
		}
		b.WriteString(separator + one.location + ": " + one.reason)
		separator = "; "
	}
	if f.skipped > 0 {
		fmt.Fprintf(&b, "; %d were not looked at", f.skipped)
	}
	return b.String()
}

// oneLine makes one short line of a text that an attacker may have written.
func oneLine(text string) string {
	line := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	return shorten.Bytes(strings.ToValidUTF8(line, "?"), maxReason, shorten.Dots)
}
