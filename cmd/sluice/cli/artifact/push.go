// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// push is `sluice push artifact`.
type push struct {
	access
	content
	output           output.Flags
	source, revision string
	annotations      []string
	reproducible     bool
}

// PushCommand is `sluice push`.
func PushCommand(version string) *cobra.Command {
	p := &push{access: access{version: version}}
	cmd := &cobra.Command{
		Use:   "artifact URL",
		Short: "Push a directory or a file to a registry, as what an OCIRepository fetches",
		Long: `Push a directory or a file to a registry, as what an OCIRepository fetches. Symbolic
links are left out, unless --resolve-symlinks takes what they lead to. With -o json or
yaml the digest is printed, for what signs or tags it next.

With --reproducible the same files make the same digest at any time, and the one that
flux push artifact gives them in UTC: the time in the artifact is 1970-01-01T00:00:00Z,
not now. Permissions of files count, and standard input is always manifests.yaml.`,
		Example: `  sluice push artifact oci://ghcr.io/acme/app:$TAG --path ./deploy \
    --source "$(git remote get-url origin)" \
    --revision "main@sha1:$(git rev-parse HEAD)"
  kustomize build . | sluice push artifact oci://ghcr.io/acme/app:1.0.0 -f - --source ... --revision ... -o json`,
		Args: oneURL,
		RunE: func(cmd *cobra.Command, args []string) error { return p.run(cmd, args[0]) },
	}
	p.content.register(cmd, "f")
	set := cmd.Flags()
	set.StringVar(&p.source, "source", "", "where the files come from, such as the URL of a Git repository")
	set.StringVar(&p.revision, "revision", "", "revision of the source, as BRANCH@sha1:COMMIT or TAG@sha1:COMMIT")
	set.StringArrayVarP(&p.annotations, "annotations", "a", nil, "annotation of the artifact, as KEY=VALUE; may be repeated")
	set.BoolVar(&p.reproducible, "reproducible", false, "make the same digest of the same files: created at 1970-01-01T00:00:00Z")
	p.output.RegisterOnly(cmd, "print what was pushed", output.JSON, output.YAML)
	p.access.register(cmd)
	return Group("push", "Put manifests into a registry", cmd)
}

func (p *push) run(cmd *cobra.Command, arg string) error {
	if err := p.output.Validate(); err != nil {
		return err
	}
	rest, err := address(arg)
	if err != nil {
		return err
	}
	to, err := name.NewTag(rest, p.names()...)
	if err != nil {
		return fmt.Errorf("URL %s: %w; what is pushed gets a tag", arg, err)
	}
	annotations, err := p.annotate(time.Now())
	if err != nil {
		return err
	}
	packed, err := p.pack(cmd)
	if err != nil {
		return err
	}
	made, err := image(packed, annotations)
	if err != nil {
		return err
	}
	digest, err := made.Digest()
	if err != nil {
		return err
	}
	if err := p.upload(cmd, to, made); err != nil {
		return err
	}
	at := to.Context().Digest(digest.String())
	if p.output.Format() == output.Short {
		output.Note(cmd, "artifact successfully pushed to %s", at)
		return nil
	}
	return p.output.Print(cmd.OutOrStdout(), output.Table{}, report.PushedArtifact{
		URL: scheme + at.String(), Repository: to.Context().Name(), Tag: to.TagStr(), Digest: digest.String(),
	})
}

// annotate says where the artifact comes from, and when it was made.
func (p *push) annotate(now time.Time) (map[string]string, error) {
	switch {
	case p.source == "":
		return nil, errors.New("--source is missing: say where the files come from, as with $(git remote get-url origin)")
	case p.revision == "":
		return nil, errors.New("--revision is missing: say of what revision they are, as main@sha1:$(git rev-parse HEAD)")
	}
	if p.reproducible {
		now = time.Unix(0, 0)
	}
	annotations := map[string]string{
		createdAnnotation: now.UTC().Format(time.RFC3339), sourceAnnotation: p.source, revisionAnnotation: p.revision,
	}
	for _, pair := range p.annotations {
		key, value, is := strings.Cut(pair, "=")
		if !is || key == "" {
			return nil, fmt.Errorf("--annotations %s: want KEY=VALUE", pair)
		}
		annotations[key] = value
	}
	return annotations, nil
}

func (p *push) upload(cmd *cobra.Command, to name.Tag, made v1.Image) error {
	ctx, cancel, options, err := p.start(cmd, to.Context())
	if err != nil {
		return err
	}
	defer cancel()
	err = output.Await(cmd, "pushing to "+to.String(), func() error { return remote.Write(to, made, options...) })
	if err != nil {
		return failure(ctx, "pushing "+to.String(), err)
	}
	return nil
}

// first is the first layer of an artifact, which has the content.
func first(ctx context.Context, of v1.Image, ref name.Reference) (v1.Layer, error) {
	layers, err := of.Layers()
	if err != nil {
		return nil, failure(ctx, "reading the manifest of "+ref.String(), err)
	}
	if len(layers) == 0 {
		return nil, fmt.Errorf("%s has no layer: it is no artifact of manifests", ref)
	}
	return layers[0], nil
}
