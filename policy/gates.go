// SPDX-License-Identifier: Apache-2.0

package policy

// Gate is a condition of an ImagePolicy that a tag must meet, named by its field. Two have
// none: [GateFound] and [GateQuarantine].
type Gate string

// The gates.
const (
	GateFilter       Gate = "filterTags"
	GateRule         Gate = "policy"
	GatePin          Gate = "pin"
	GateRejectTag    Gate = "reject.tag"
	GateFound        Gate = "registry"
	GateQuarantine   Gate = "quarantine"
	GateMinAge       Gate = "minAge"
	GatePlatform     Gate = "platform"
	GateRejectDigest Gate = "reject.digest"
	GateVerify       Gate = "verify"
)

// DeferredGates are the gates that need a clock or a registry, in their order: cheap ones
// first. [GateFound] is met by whichever of them looks the digest up first: the
// tag may have gone since the scan. [GateQuarantine] is no field: Pipelines close it.
var DeferredGates = []Gate{GateFound, GateQuarantine, GateMinAge, GatePlatform, GateRejectDigest, GateVerify}

// result is what became of one tag.
type result int8

const (
	accepted result = iota
	// The rest are the reasons to drop a tag, in the order they are reported.
	notMatching
	notVersion
	outOfRange
	prerelease
	notNumber
	notPinned
	rejectedTag
	notFound
	quarantined
	tooYoung
	otherPlatform
	rejectedDigest
	unverified
	results
)

// reasons of dropped tags, as the end of a sentence that starts with a count.
var reasons = [results]string{
	notMatching:    "not matching spec.filterTags.pattern",
	notVersion:     "not a semantic version",
	outOfRange:     "outside the range",
	prerelease:     "left out as a prerelease: a range takes those only if it names one, as >=1.0.0-0 does",
	notNumber:      "not a number",
	notPinned:      "not pinned",
	rejectedTag:    "rejected by spec.reject",
	notFound:       "gone from the registry",
	quarantined:    "in quarantine by a pipeline",
	tooYoung:       "younger than spec.minAge",
	otherPlatform:  "not made for spec.platform",
	rejectedDigest: "rejected by their digest",
	unverified:     "without a valid signature",
}

var gateOf = [results]Gate{
	notMatching:    GateFilter,
	notVersion:     GateRule,
	outOfRange:     GateRule,
	prerelease:     GateRule,
	notNumber:      GateRule,
	notPinned:      GatePin,
	rejectedTag:    GateRejectTag,
	notFound:       GateFound,
	quarantined:    GateQuarantine,
	tooYoung:       GateMinAge,
	otherPlatform:  GatePlatform,
	rejectedDigest: GateRejectDigest,
	unverified:     GateVerify,
}
