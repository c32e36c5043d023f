// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
)

// tag is `sluice tag artifact`.
type tag struct {
	access
	tags []string
}

// TagCommand is `sluice tag`.
func TagCommand(version string) *cobra.Command {
	t := &tag{access: access{version: version}}
	cmd := &cobra.Command{
		Use:     "artifact URL",
		Short:   "Give an artifact of a registry further tags",
		Example: `  sluice tag artifact oci://ghcr.io/acme/app:1.0.0 --tag production --tag latest`,
		Args:    oneURL,
		RunE:    func(cmd *cobra.Command, args []string) error { return t.run(cmd, args[0]) },
	}
	cmd.Flags().StringSliceVar(&t.tags, "tag", nil, "tag to set; may be repeated")
	t.register(cmd)
	return Group("tag", "Name what is in a registry", cmd)
}

func (t *tag) run(cmd *cobra.Command, arg string) error {
	ref, err := t.reference(arg)
	if err != nil {
		return err
	}
	if len(t.tags) == 0 {
		return errors.New("--tag is missing: name a tag to set")
	}
	targets := make([]name.Tag, len(t.tags))
	for i, named := range t.tags { // all of them, before one is set
		if targets[i], err = name.NewTag(ref.Context().Name()+":"+named, append(t.names(), name.StrictValidation)...); err != nil {
			return fmt.Errorf("--tag: %w", err)
		}
	}
	ctx, cancel, options, err := t.start(cmd, ref.Context())
	if err != nil {
		return err
	}
	defer cancel()
	found, err := remote.Get(ref, options...)
	if err != nil {
		return failure(ctx, "reading "+ref.String(), err)
	}
	for _, target := range targets {
		if err := remote.Tag(target, found, options...); err != nil {
			return failure(ctx, "setting the tag "+target.String(), err)
		}
		output.Note(cmd, "artifact tagged as %s", target.Name())
	}
	return nil
}
