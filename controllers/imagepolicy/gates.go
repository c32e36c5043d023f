// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"fmt"
	"strings"
	"time"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/shorten"
	"github.com/sluice-cd/sluice/policy"
)

// candidate is a tag that a policy could choose, and what is known of it.
type candidate struct {
	tag, digest string
	// digestKept says that the digest is the one of the last choice, and was not looked up.
	digestKept bool
	// lost says that the digest of the last choice is gone from the registry.
	lost      bool
	firstSeen time.Time
	signer    string
}

// gateResult is whether a gate lets a candidate pass.
type gateResult struct {
	// rejected says why the candidate is dropped; empty is that it passes.
	rejected string
	// until is when the gate may decide otherwise; zero is never by itself.
	until time.Time
}

// imageReader is what gates ask about candidates. An answer may be an error that ends the
// run, such as background.ErrPending.
type imageReader interface {
	// Digest is what a tag points to now.
	Digest(ctx context.Context, tag string) (string, error)
	// Platforms are what a digest is made for.
	Platforms(ctx context.Context, digest string) (registry.Platforms, error)
	// Signature says whether a digest is signed by whom the policy trusts.
	Signature(ctx context.Context, digest string) (signatureResult, error)
	// FirstSeen is when a tag was first seen, whatever it pointed to; zero is never.
	// WasSeen says that it was seen with a digest, too.
	FirstSeen(tag string) (at time.Time, wasSeen bool)
	// FirstSeenWith is when a tag was first seen with a digest: now, if it never was.
	FirstSeenWith(tag, digest string) time.Time
}

// gate decides about one candidate, and returns it with what it has found out.
type gate func(ctx context.Context, in *inputs, ask imageReader, c candidate) (candidate, gateResult, error)

// gates has the deferred gates; [policy.DeferredGates] says in which order they are asked.
var gates = map[policy.Gate]gate{
	policy.GateFound:        existence,
	policy.GateQuarantine:   quarantined,
	policy.GateMinAge:       minimumAge,
	policy.GatePlatform:     platform,
	policy.GateRejectDigest: rejectedDigest,
	policy.GateVerify:       signed,
}

// existence looks the digest up once for the gates that are about it: platform, reject.digest
// and verify. With a minimum age it leaves that to minimumAge, which can often tell without.
func existence(ctx context.Context, in *inputs, ask imageReader, c candidate) (candidate, gateResult, error) {
	spec := in.policy.Spec
	if in.minAge() > 0 || spec.Platform == "" && spec.Verify == nil && !in.compiled.RejectsDigests() {
		return c, gateResult{}, nil
	}
	c, err := withDigest(ctx, in, ask, c)
	return c, gateResult{}, err
}

// withDigest sets the digest of a candidate. With IfNotPresent the one of the last
// choice stays, wherever its tag points to now.
func withDigest(ctx context.Context, in *inputs, ask imageReader, c candidate) (candidate, error) {
	if c.digest != "" {
		return c, nil
	}
	if last := lastDigest(in, c); last != "" && in.policy.GetDigestReflectionPolicy() == imagev1.ReflectIfNotPresent {
		c.digest, c.digestKept = last, true
		return c, nil
	}
	var err error
	c.digest, err = ask.Digest(ctx, c.tag)
	return c, err
}

// lastDigest is the digest of the last choice, if that was the candidate's tag.
func lastDigest(in *inputs, c candidate) string {
	last := in.latestRef()
	if c.lost || last == nil || last.Tag != c.tag {
		return ""
	}
	return last.Digest
}

// minimumAge drops what was first seen too short a time ago. The clock belongs to the
// tag with its digest: a tag that is moved is as young as a new one. The last choice
// then stays at the digest that it was made for, if it has one.
func minimumAge(ctx context.Context, in *inputs, ask imageReader, c candidate) (candidate, gateResult, error) {
	if in.minAge() == 0 {
		return c, gateResult{}, nil
	}
	if first, wasSeen := ask.FirstSeen(c.tag); !first.IsZero() && !in.isOldEnough(first) && wasSeen {
		c = fromStatus(in, c)
		if c.firstSeen.IsZero() {
			c.firstSeen = first
		}
		return c, tooYoung(in, c), nil // whatever it points to now
	}
	c, err := withDigest(ctx, in, ask, c)
	if err != nil {
		return c, gateResult{}, err
	}
	c.firstSeen = ask.FirstSeenWith(c.tag, c.digest)
	if in.isOldEnough(c.firstSeen) {
		return c, gateResult{}, nil
	}
	young := tooYoung(in, c)
	if last := lastDigest(in, c); last != "" && last != c.digest {
		if seen := ask.FirstSeenWith(c.tag, last); in.isOldEnough(seen) {
			c.digest, c.firstSeen, c.digestKept, young.rejected = last, seen, true, ""
		}
	}
	return c, young, nil
}

func tooYoung(in *inputs, c candidate) gateResult {
	at := c.firstSeen.Add(in.minAge())
	return gateResult{
		rejected: fmt.Sprintf("younger than %s, old enough at %s", shorten.Duration(in.minAge()), timeOf(at).UTC().Format(time.RFC3339)),
		until:    at,
	}
}

// fromStatus copies what the status says of a candidate that is not looked up again,
// so that the status keeps it.
func fromStatus(in *inputs, c candidate) candidate {
	if in.policy.Status.Decision == nil {
		return c
	}
	for _, known := range in.policy.Status.Decision.Candidates {
		if known.Tag == c.tag && known.FirstSeen != nil {
			c.digest, c.firstSeen = known.Digest, known.FirstSeen.Time
		}
	}
	return c
}

// platform drops images that are not made for the platform. What a digest is made for
// never changes.
func platform(ctx context.Context, in *inputs, ask imageReader, c candidate) (candidate, gateResult, error) {
	wanted := in.policy.Spec.Platform
	if wanted == "" {
		return c, gateResult{}, nil
	}
	c, err := withDigest(ctx, in, ask, c)
	if err != nil {
		return c, gateResult{}, err
	}
	had, err := ask.Platforms(ctx, c.digest)
	switch {
	case err != nil || policy.Fits(wanted, had.Known):
		return c, gateResult{}, err
	}
	return c, gateResult{rejected: madeFor(had)}, nil
}

// madeFor says what an image is made for that is not made for what is wanted, as far as
// is known.
func madeFor(had registry.Platforms) string {
	known := "made for no platform"
	if len(had.Known) > 0 {
		known = "made for " + firstOf(had.Known) + " only"
	}
	if had.Unread == 0 {
		return known
	}
	return fmt.Sprintf("%s, as far as is known: its index does not say what its images are for, and %d of them are beyond the %d"+
		" that are asked; push it with a platform for each image", known, had.Unread, registry.MaxLookUps)
}

// firstOf lists the first of many.
func firstOf(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + ", ..."
}

// rejectedDigest drops digests that spec.reject names.
func rejectedDigest(ctx context.Context, in *inputs, ask imageReader, c candidate) (candidate, gateResult, error) {
	if !in.compiled.RejectsDigests() {
		return c, gateResult{}, nil
	}
	c, err := withDigest(ctx, in, ask, c)
	if err != nil {
		return c, gateResult{}, err
	}
	if r, ok := in.compiled.RejectsDigest(c.digest); ok {
		return c, gateResult{rejected: policy.Because(r)}, nil
	}
	return c, gateResult{}, nil
}

// signed drops images without a signature that counts. Signatures are made after the
// push: one that is missing is looked for again after a while.
func signed(ctx context.Context, in *inputs, ask imageReader, c candidate) (candidate, gateResult, error) {
	if in.policy.Spec.Verify == nil {
		return c, gateResult{}, nil
	}
	c, err := withDigest(ctx, in, ask, c)
	if err != nil {
		return c, gateResult{}, err
	}
	found, err := ask.Signature(ctx, c.digest)
	if err != nil {
		return c, gateResult{}, err
	}
	c.signer = found.signer
	if found.missing == "" {
		return c, gateResult{}, nil
	}
	return c, gateResult{rejected: found.missing, until: found.until}, nil
}
