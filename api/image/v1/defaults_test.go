// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func duration(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func TestScanTimeout(t *testing.T) {
	tests := map[string]struct {
		interval time.Duration
		timeout  *metav1.Duration
		want     time.Duration
	}{
		"defaults to the interval":      {time.Minute, nil, time.Minute},
		"is what the spec says":         {time.Minute, duration(5 * time.Second), 5 * time.Second},
		"is never less than one second": {time.Minute, duration(time.Millisecond), time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			repo := &ImageRepository{Spec: ImageRepositorySpec{Interval: *duration(tc.interval), Timeout: tc.timeout}}
			if got := repo.GetTimeout(); got != tc.want {
				t.Errorf("timeout is %s, want %s", got, tc.want)
			}
		})
	}
}

func TestDigestInterval(t *testing.T) {
	tests := map[string]struct {
		policy   ReflectionPolicy
		interval *metav1.Duration
		want     time.Duration
	}{
		"no policy never looks again":                    {"", duration(time.Minute), 0},
		"IfNotPresent never looks again":                 {ReflectIfNotPresent, duration(time.Minute), 0},
		"Always looks again after the interval":          {ReflectAlways, duration(time.Minute), time.Minute},
		"Always without an interval looks every 10 mins": {ReflectAlways, nil, 10 * time.Minute},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			policy := &ImagePolicy{Spec: ImagePolicySpec{DigestReflectionPolicy: tc.policy, Interval: tc.interval}}
			if got := policy.GetInterval(); got != tc.want {
				t.Errorf("interval is %s, want %s", got, tc.want)
			}
		})
	}
}

func TestImageRefIsWrittenAsInManifests(t *testing.T) {
	ref := &ImageRef{Name: "ghcr.io/a/b", Tag: "1.0"}
	if got, want := ref.String(), "ghcr.io/a/b:1.0"; got != want {
		t.Errorf("reference is %s, want %s", got, want)
	}
	ref.Digest = "sha256:abc"
	if got, want := ref.String(), "ghcr.io/a/b:1.0@sha256:abc"; got != want {
		t.Errorf("reference is %s, want %s", got, want)
	}
}
