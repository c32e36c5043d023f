// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestWhatArgumentsName(t *testing.T) {
	for line, want := range map[string]string{
		"ks web":                        "Kustomization web",
		"kustomizations web api":        "Kustomization web,api",
		"ks/web":                        "Kustomization web",
		"ks/web kustomization/api":      "Kustomization web,api",
		"source git fleet":              "GitRepository fleet",
		"image policy web":              "ImagePolicy web",
		"Canary.flagger.app/web":        "Canary web",
		"canary.sluice.dev/web":         "unknown kind",
		"ks/web oci/files":              "is about objects of one kind, here of kustomizations",
		"ks/web nothing/files":          "is about objects of one kind, here of kustomizations",
		"ks/":                           "needs a KIND and a NAME",
		"/web":                          "unknown kind",
		"ks":                            "needs a KIND and a NAME",
		"source git":                    "needs a KIND and a NAME",
		"source kustomizations web":     "are no sources",
		"image kustomization web":       "after image; known: repository, policy, update",
		"deployments.apps/web":          "unknown kind",
		"receivers web.example.com/api": "is about objects of one kind, here of receivers",
	} {
		k, names, err := kindAndNames(&cobra.Command{Use: "suspend"}, strings.Fields(line), "")
		got := k.Kind + " " + strings.Join(names, ",")
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != want || err != nil && !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}
