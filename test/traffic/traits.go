// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// The labels of an image's config that say how its pods would behave.
const (
	ErrorRateLabel = "sluice.dev/sim-error-rate"
	LatencyLabel   = "sluice.dev/sim-latency"
	// ErrorNamespaceLabel names the namespace whose users alone meet the errors: they do
	// something that those of other namespaces do not.
	ErrorNamespaceLabel = "sluice.dev/sim-error-namespace"
)

// Traits are how the pods of an image behave.
type Traits struct {
	ErrorRate float64       // 0 to 1
	Latency   time.Duration // typical
	// ErrorNamespace is the namespace whose users alone meet the errors; empty is all.
	ErrorNamespace string
}

// Healthy are the traits of an image that declares none.
var Healthy = Traits{Latency: 20 * time.Millisecond}

// Labels declares traits on an image.
func (t Traits) Labels() map[string]string {
	return map[string]string{
		ErrorRateLabel:      strconv.FormatFloat(t.ErrorRate, 'g', -1, 64),
		LatencyLabel:        t.Latency.String(),
		ErrorNamespaceLabel: t.ErrorNamespace,
	}
}

// in are the traits as the users of a namespace meet them.
func (t Traits) in(namespace string) Traits {
	if t.ErrorNamespace != "" && t.ErrorNamespace != namespace {
		t.ErrorRate = 0
	}
	return t
}

// ParseTraits reads the labels of an image.
func ParseTraits(labels map[string]string) (Traits, error) {
	traits := Healthy
	if text, ok := labels[ErrorRateLabel]; ok {
		rate, err := strconv.ParseFloat(text, 64)
		if err != nil || !(rate >= 0 && rate <= 1) {
			return Traits{}, fmt.Errorf("label %s: %q is not a share from 0 to 1", ErrorRateLabel, text)
		}
		traits.ErrorRate = rate
	}
	if text, ok := labels[LatencyLabel]; ok {
		latency, err := time.ParseDuration(text)
		if err != nil || latency < 0 {
			return Traits{}, fmt.Errorf("label %s: %q is not a duration", LatencyLabel, text)
		}
		traits.Latency = latency
	}
	traits.ErrorNamespace = labels[ErrorNamespaceLabel]
	return traits, nil
}

// fetchTraits asks the registry for the labels of an image.
func fetchTraits(ctx context.Context, image string) (Traits, error) {
	ref, err := name.ParseReference(image, name.Insecure)
	if err != nil {
		return Traits{}, err
	}
	img, err := remote.Image(ref, remote.WithContext(ctx))
	if err != nil {
		return Traits{}, fmt.Errorf("reading image %s: %w", image, err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return Traits{}, fmt.Errorf("reading the config of image %s: %w", image, err)
	}
	return ParseTraits(config.Config.Labels)
}
