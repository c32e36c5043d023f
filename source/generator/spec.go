// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"fmt"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
)

// Check refuses a spec that can mean nothing, whatever its sources have: its errors are [ErrInvalid].
func Check(spec *generatorv1.ArtifactGeneratorSpec) error {
	known, err := checkSources(spec)
	if err != nil {
		return err
	}
	captured := map[string]string{}
	if spec.PathPattern != "" {
		alias, matcher, err := compilePathPattern(spec.PathPattern)
		if err != nil {
			return err
		}
		if !known[alias] {
			return invalid("pathPattern '%s': source alias '%s' not found", spec.PathPattern, alias)
		}
		for _, name := range matcher.SubexpNames()[1:] {
			captured[name] = "x" // any name will do to find out what is wrong
		}
	}
	names := map[string]bool{}
	for _, artifact := range spec.OutputArtifacts {
		if names[artifact.Name] {
			return invalid("duplicate artifact name '%s' found", artifact.Name)
		}
		names[artifact.Name] = true
		if err := checkArtifact(spec, artifact, known, captured); err != nil {
			return err
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// checkSources returns the aliases of a spec.
func checkSources(spec *generatorv1.ArtifactGeneratorSpec) (map[string]bool, error) {
	known := map[string]bool{}
	for _, source := range spec.Sources {
		if known[source.Alias] {
			return nil, invalid("duplicate source alias '%s' found", source.Alias)
		}
		known[source.Alias] = true
		switch source.Kind {
		case sourcev1.GitRepositoryKind, sourcev1.OCIRepositoryKind, sourcev1.BucketKind, sourcev1.ExternalArtifactKind:
		case sourcev1.HelmChartKind:
			return nil, invalid("source '%s' is a HelmChart, which is not served here: "+
				"use an OCIRepository of the chart, or a GitRepository or Bucket that has its files", source.Alias)
		default:
			return nil, invalid("source '%s' has kind '%s', which is none of GitRepository, OCIRepository, Bucket and ExternalArtifact",
				source.Alias, source.Kind)
		}
	}
	return known, nil
}

func checkArtifact(spec *generatorv1.ArtifactGeneratorSpec, artifact generatorv1.OutputArtifact, known map[string]bool,
	captured map[string]string,
) error {
	if spec.PathPattern == "" {
		if problems := apivalidation.NameIsDNSSubdomain(artifact.Name, false); len(problems) > 0 {
			return invalid("artifact name '%s' is not a valid Kubernetes object name: %s", artifact.Name, strings.Join(problems, "; "))
		}
	} else {
		output, err := render(artifact, captured, captured)
		if err != nil {
			return err
		}
		artifact = output.OutputArtifact
	}
	// That originRevision names no source means nothing in Flux, and is not refused.
	if alias := strings.TrimPrefix(artifact.Revision, "@"); artifact.Revision != "" && !known[alias] {
		return invalid("artifact %s revision source alias '%s' not found", artifact.Name, alias)
	}
	for _, c := range artifact.Copy {
		o, err := compile(c)
		if err != nil {
			return err
		}
		if !known[o.alias] {
			return invalid("artifact %s: copy %s: source alias '%s' not found", artifact.Name, o.text, o.alias)
		}
	}
	return nil
}
