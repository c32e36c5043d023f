// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// overrides is what people decided against the rule, as far as it is in force.
type overrides struct {
	pin     *imagev1.Pin
	tags    map[string]imagev1.Rejection
	digests map[string]imagev1.Rejection
	until   time.Time
}

var (
	isDigest   = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	isPlatform = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?$`)
)

// compileOverrides checks what the schema checks too: an object may have been stored
// before the schema was installed, or come from a file.
func compileOverrides(spec *imagev1.ImagePolicySpec, now time.Time) (overrides, error) {
	h := overrides{tags: map[string]imagev1.Rejection{}, digests: map[string]imagev1.Rejection{}}
	for i, r := range spec.Reject {
		if err := checkRejection(r); err != nil {
			return h, fmt.Errorf("%w: spec.reject[%d]%w", ErrInvalid, i, err)
		}
		if h.inForce(r.Until, now) {
			h.reject(r)
		}
	}
	if pin := spec.Pin; pin != nil {
		if pin.Tag == "" {
			return h, fmt.Errorf("%w: spec.pin.tag must be set", ErrInvalid)
		}
		if h.inForce(pin.Until, now) {
			h.pin = pin
		}
	}
	if spec.MinAge != nil && spec.MinAge.Duration < 0 {
		return h, fmt.Errorf("%w: spec.minAge must not be negative", ErrInvalid)
	}
	if spec.Platform != "" && !isPlatform.MatchString(spec.Platform) {
		return h, fmt.Errorf("%w: spec.platform %q must be os/arch or os/arch/variant", ErrInvalid, spec.Platform)
	}
	return h, nil
}

// checkRejection returns an error that goes on where the name of the field ends.
func checkRejection(r imagev1.Rejection) error {
	if (r.Tag == "") == (r.Digest == "") {
		return errors.New(" must set one of tag and digest")
	}
	if r.Digest != "" && !isDigest.MatchString(r.Digest) {
		return fmt.Errorf(".digest %q must be sha256: and 64 hex digits", r.Digest)
	}
	return nil
}

// reject keeps the first rejection of each tag and digest, whose reason is told.
func (h *overrides) reject(r imagev1.Rejection) {
	in, key := h.tags, r.Tag
	if r.Digest != "" {
		in, key = h.digests, r.Digest
	}
	if _, ok := in[key]; !ok {
		in[key] = r
	}
}

// inForce reports whether end is still to come, and keeps the first that is. What
// has none is in force for good.
func (h *overrides) inForce(until *metav1.Time, now time.Time) bool {
	if until == nil {
		return true
	}
	if !until.After(now) {
		return false
	}
	if h.until.IsZero() || until.Time.Before(h.until) {
		h.until = until.Time
	}
	return true
}

// Until is when the first pin or rejection in force ends, or the zero time. The
// spec must be compiled again then.
func (p *Policy) Until() time.Time { return p.overrides.until }

// Pin is the pin in force, or nil.
func (p *Policy) Pin() *imagev1.Pin { return p.overrides.pin }

// RejectsTag returns the rejection in force of a tag.
func (p *Policy) RejectsTag(tag string) (imagev1.Rejection, bool) {
	r, ok := p.overrides.tags[tag]
	return r, ok
}

// RejectsDigest returns the rejection in force of a digest; it is what
// [GateRejectDigest] asks.
func (p *Policy) RejectsDigest(digest string) (imagev1.Rejection, bool) {
	r, ok := p.overrides.digests[digest]
	return r, ok
}

// RejectsDigests reports whether a rejection of some digest is in force, without
// which no digest needs to be looked up.
func (p *Policy) RejectsDigests() bool { return len(p.overrides.digests) > 0 }

// Because tells of a rejection in one clause: rejected: CVE-2026-1 (until 2026-12-01T00:00:00Z).
func Because(r imagev1.Rejection) string {
	said := "rejected by spec.reject"
	if r.Reason != "" {
		said += ": " + r.Reason
	}
	if r.Until != nil {
		said += " (until " + r.Until.UTC().Format(time.RFC3339) + ")"
	}
	return said
}

// pinned is the rule of a pin: no tag but one.
type pinned struct{ tag string }

func (r pinned) String() string { return "pin" }

func (r pinned) selector(capacity int) selector { return newTopK[struct{}](r, capacity) }

func (r pinned) parse(text string, _ *struct{}) result {
	if text != r.tag {
		return notPinned
	}
	return accepted
}

func (r pinned) compare(_, _ *struct{}) int { return 0 }
func (r pinned) breakTie(a, b string) int   { return firstText(a, b) }
