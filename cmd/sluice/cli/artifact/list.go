// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// maxTags is how many tags a registry may list.
const maxTags = 100_000

// listing is `sluice list artifacts`.
type listing struct {
	access
	output         output.Flags
	semver, regexp string
}

// ListCommand is `sluice list`.
func ListCommand(version string) *cobra.Command {
	l := &listing{access: access{version: version}}
	cmd := &cobra.Command{
		Use:     "artifacts URL",
		Aliases: []string{"artifact"},
		Short:   "List the artifacts of a repository in a registry",
		Long: `List the artifacts of a repository in a registry, with where each comes from. Of every
tag the manifest is read: filters save time where there are many. What cosign keeps
beside them, as tags that end in .sig, .att or .sbom, is left out.`,
		Example: `  sluice list artifacts oci://ghcr.io/acme/app --filter-semver '>=1.0.0'`,
		Args:    oneURL,
		RunE:    func(cmd *cobra.Command, args []string) error { return l.run(cmd, args[0]) },
	}
	cmd.Flags().StringVar(&l.semver, "filter-semver", "", "range of versions that tags have to be in")
	cmd.Flags().StringVar(&l.regexp, "filter-regex", "", "regular expression that tags have to match")
	l.output.Register(cmd)
	l.register(cmd)
	return Group("list", "List what is in a registry", cmd)
}

func (l *listing) run(cmd *cobra.Command, arg string) error {
	if err := l.output.Validate(); err != nil {
		return err
	}
	rest, err := address(arg)
	if err != nil {
		return err
	}
	of, err := name.NewRepository(rest, l.names()...)
	if err != nil {
		return fmt.Errorf("URL %s: %w; leave out the tag", arg, err)
	}
	wanted, err := l.filter()
	if err != nil {
		return err
	}
	var found []report.Artifact
	if err := output.Await(cmd, "listing "+of.String(), func() error {
		found, err = l.list(cmd, of, wanted)
		return err
	}); err != nil {
		return err
	}
	t := output.Table{Columns: []string{"ARTIFACT", "DIGEST", "SOURCE", "REVISION", "CREATED"}, Short: 4}
	for _, a := range found {
		t.Add(a.URL, strings.TrimPrefix(a.URL, scheme), a.Digest, a.Source, a.Revision, a.Created)
	}
	return l.output.Print(cmd.OutOrStdout(), t, report.List[report.Artifact]{Items: found})
}

// filter says which tags are wanted.
func (l *listing) filter() (func(tag string) bool, error) {
	pattern, err := regexp.Compile(l.regexp)
	if err != nil {
		return nil, fmt.Errorf("--filter-regex: %w", err)
	}
	versions, err := semver.NewConstraint(l.semver)
	if l.semver != "" && err != nil {
		return nil, fmt.Errorf("--filter-semver: %w", err)
	}
	return func(tag string) bool {
		for _, suffix := range []string{".att", ".sbom", ".sig"} {
			if strings.HasSuffix(tag, suffix) {
				return false
			}
		}
		if l.semver != "" {
			version, err := semver.StrictNewVersion(strings.TrimPrefix(tag, "v"))
			if err != nil || !versions.Check(version) {
				return false
			}
		}
		return pattern.MatchString(tag)
	}, nil
}

// list reads the manifests of the tags that are wanted; the last in the alphabet comes first.
func (l *listing) list(cmd *cobra.Command, of name.Repository, wanted func(string) bool) ([]report.Artifact, error) {
	ctx, cancel, options, err := l.start(cmd, of)
	if err != nil {
		return nil, err
	}
	defer cancel()
	puller, err := remote.NewPuller(options...)
	if err != nil {
		return nil, failure(ctx, "reaching "+of.String(), err)
	}
	tags, err := tagsOf(ctx, puller, of, wanted)
	if err != nil {
		return nil, failure(ctx, "listing the tags of "+of.String(), err)
	}
	found := make([]report.Artifact, len(tags))
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(jobs)
	for i, tag := range tags {
		group.Go(func() (err error) {
			found[i], err = read(within, puller, of.Tag(tag))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, failure(ctx, "reading manifests", err)
	}
	return found, nil
}

func tagsOf(ctx context.Context, puller *remote.Puller, of name.Repository, wanted func(string) bool) ([]string, error) {
	lister, err := puller.Lister(ctx, of)
	if err != nil {
		return nil, err
	}
	tags := []string{}
	for n := 0; lister.HasNext(); {
		page, err := lister.Next(ctx)
		if err != nil {
			return nil, err
		}
		if n += len(page.Tags); n > maxTags {
			return nil, fmt.Errorf("there are more than %d", maxTags)
		}
		for _, tag := range page.Tags {
			if wanted(tag) {
				tags = append(tags, tag)
			}
		}
	}
	slices.Sort(tags)
	slices.Reverse(tags)
	return tags, nil
}

func read(ctx context.Context, puller *remote.Puller, tag name.Tag) (report.Artifact, error) {
	got, err := puller.Get(ctx, tag)
	if err != nil {
		return report.Artifact{}, err
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(got.Manifest))
	if err != nil {
		return report.Artifact{}, fmt.Errorf("reading the manifest of %s: %w", tag, err)
	}
	return report.Artifact{
		URL: scheme + tag.String(), Digest: got.Digest.String(), Source: manifest.Annotations[sourceAnnotation],
		Revision: manifest.Annotations[revisionAnnotation], Created: manifest.Annotations[createdAnnotation],
	}, nil
}
