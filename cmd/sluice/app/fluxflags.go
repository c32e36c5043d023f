// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/opencontainers/go-digest"
	_ "github.com/opencontainers/go-digest/blake3" // for --artifact-digest-algo
	"github.com/spf13/pflag"

	"github.com/sluice-cd/sluice/notify/dispatch"
	"github.com/sluice-cd/sluice/source"
)

// fixedFlags are flags of Flux's controllers that change nothing here, and what is done instead: a Deployment of
// Flux's that has them keeps its arguments.
var fixedFlags = map[string]string{
	"requeue-dependency":        "what depends on others is started by their change",
	"concurrent-ssa":            "four objects of a Kustomization are applied at once",
	"http-retry":                "artifacts of this process are read from its disk, and the look that fails to fetch another one is repeated",
	"export-http-path-metrics":  "paths of requests are no labels of metrics",
	"helm-cache-max-size":       noHelm,
	"helm-cache-ttl":            noHelm,
	"helm-cache-purge-interval": noHelm,
	"helm-index-max-size":       noHelm,
	"helm-chart-max-size":       noHelm,
	"helm-chart-file-max-size":  noHelm,
}

const noHelm = "HelmRepositories and HelmCharts are not served"

// fluxFlags are those of Flux's controllers that nothing else is about, spelled as there.
type fluxFlags struct {
	// fixed are the values of fixedFlags, by name.
	fixed map[string]*string

	jitter          uint8 // percent
	retention       source.Retention
	digest          string
	rateLimitWindow time.Duration
}

// digestAlgorithms are those that artifacts may have.
var digestAlgorithms = []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512, digest.BLAKE3}

func (f *fluxFlags) register(set *pflag.FlagSet) {
	f.fixed = map[string]*string{}
	for _, name := range slices.Sorted(maps.Keys(fixedFlags)) {
		f.fixed[name] = set.String(name, "", "of Flux, and changes nothing here: "+fixedFlags[name])
		set.Lookup(name).Hidden = true
	}
	set.Lookup("export-http-path-metrics").NoOptDefVal = "true"
	set.Uint8Var(&f.jitter, "interval-jitter-percentage", 5,
		"largest part, in percent, by which the intervals of sources and Kustomizations are shorter or longer")
	set.IntVar(&f.retention.Records, "artifact-retention-records", source.DefaultRetention.Records,
		"how many artifacts of a source stay, the newest among them")
	set.DurationVar(&f.retention.TTL, "artifact-retention-ttl", source.DefaultRetention.TTL,
		"how long ago an artifact of a source may have been replaced: one that was before goes when the next one is stored; "+
			"with 0, only the newest one stays")
	set.StringVar(&f.digest, "artifact-digest-algo", string(digest.SHA256),
		"algorithm of the digests of artifacts: sha256, sha384, sha512 or blake3")
	set.DurationVar(&f.rateLimitWindow, "rate-limit-interval", dispatch.Window,
		"how long an event that says the same again is not told to Alerts")
}

func (f *fluxFlags) validate() error {
	var errs []error
	if f.jitter >= 100 {
		errs = append(errs, fmt.Errorf("--interval-jitter-percentage: must be less than 100, is %d", f.jitter))
	}
	if f.retention.Records < 1 || f.retention.Records > maxRetained {
		errs = append(errs, fmt.Errorf("--artifact-retention-records: must be from 1 to %d, is %d", maxRetained, f.retention.Records))
	}
	if f.retention.TTL < 0 {
		errs = append(errs, fmt.Errorf("--artifact-retention-ttl: must not be negative, is %s", f.retention.TTL))
	}
	if !slices.Contains(digestAlgorithms, digest.Algorithm(f.digest)) {
		errs = append(errs, fmt.Errorf("--artifact-digest-algo: must be one of %v, is %q", digestAlgorithms, f.digest))
	}
	if f.rateLimitWindow <= 0 {
		errs = append(errs, fmt.Errorf("--rate-limit-interval: must be positive, is %s", f.rateLimitWindow))
	}
	return errors.Join(errs...)
}

// maxRetained is how many artifacts of a source may stay.
const maxRetained = 1000

// part is the jitter of intervals as a part of them.
func (f *fluxFlags) part() float64 { return float64(f.jitter) / 100 }

// logFixed says of each flag that is set, and changes nothing here, what is done.
func (f *fluxFlags) logFixed(log logr.Logger) {
	for _, name := range slices.Sorted(maps.Keys(f.fixed)) {
		if value := *f.fixed[name]; value != "" {
			log.Info("this flag changes nothing here", "flag", "--"+name, "value", value, "always", fixedFlags[name])
		}
	}
}
