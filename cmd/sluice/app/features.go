// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/fluxcd/pkg/auth"
	"github.com/go-logr/logr"
)

const (
	// additiveReadyExpr is the feature, spelled as in Flux, by which a readyExpr is asked for
	// beside what is asked of other dependencies.
	additiveReadyExpr = "AdditiveCELDependencyCheck"
	// disableConfigWatchers is the feature, spelled as in Flux, by which no Secret and no ConfigMap is
	// watched for the objects that refer to it.
	disableConfigWatchers = "DisableConfigWatchers"
	// strictSubstitutions is the feature, spelled as in Flux, by which a variable without value
	// and default fails a build instead of standing for nothing.
	strictSubstitutions = "StrictPostBuildSubstitutions"
)

// features are those that --feature-gates turns on and off, with their defaults.
var features = map[string]bool{
	auth.FeatureGateObjectLevelWorkloadIdentity: false, additiveReadyExpr: false, disableConfigWatchers: false,
	strictSubstitutions: true,
}

// fixedFeatures are gates of Flux's controllers that change nothing here, and what is done whether
// they are on or off: a Deployment of Flux's that sets them keeps its arguments.
var fixedFeatures = map[string]string{
	"CacheSecretsAndConfigMaps":      "Secrets and ConfigMaps are read when they are needed, and only their metadata is kept in memory",
	"CancelHealthCheckOnNewRevision": "a new revision is applied at once, while the health of the old one is still awaited",
	"DirectSourceFetch":              "sources are watched, and a new artifact starts a reconcile",
	"DisableCommitStatusEvent":       "the event for the status of a commit is told once for each revision, not at each interval",
	"DisableFailFastBehavior":        "a failed object is told at once, and counts as healthy as soon as it recovers",
	"DisableStatusPollerCache":       "health is watched, not polled",
	"ExternalArtifact":               "ExternalArtifacts are sources like any other",
	"GitAllBranchReferences":         "the branch that is read is fetched into the one mirror of the repository",
	"GitForcePushBranch":             "a push branch is rebuilt on its base, unless others have committed to it",
	"GitShallowClone":                "each repository is mirrored once, and only what is new is fetched",
	"GitSparseCheckout":              "files are edited without a checkout",
	"GroupChangeLog":                 "what a reconcile changed is told in one event",
}

func (f *identityFlags) validateGates() error {
	for name, value := range f.gates {
		_, known := features[name]
		if _, fixed := fixedFeatures[name]; !known && !fixed {
			return fmt.Errorf("--feature-gates: unknown feature %q; known: %s", name,
				strings.Join(slices.Sorted(maps.Keys(features)), ", "))
		}
		if _, err := strconv.ParseBool(value); err != nil {
			return fmt.Errorf("--feature-gates: %s is true or false, not %q", name, value)
		}
	}
	return nil
}

// enabled reports whether a feature is on.
func (f *identityFlags) enabled(name string) bool {
	if on, err := strconv.ParseBool(f.gates[name]); err == nil {
		return on
	}
	return features[name]
}

// logFixedFeatures says of each gate that is set, and changes nothing here, what is done.
func (f *identityFlags) logFixedFeatures(log logr.Logger) {
	for _, name := range slices.Sorted(maps.Keys(f.gates)) {
		if does, fixed := fixedFeatures[name]; fixed {
			log.Info("this feature gate changes nothing here", "gate", name, "value", f.gates[name], "always", does)
		}
	}
}
