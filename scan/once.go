// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/registry"
)

// List returns the tags of an ImageRepository once, as its controller would: with its credentials, which c has to be
// allowed to read, and without the tags that it excludes.
func List(ctx context.Context, c client.Client, repo *imagev1.ImageRepository, clk clock.WithTicker) ([]string, error) {
	about := fmt.Sprintf("ImageRepository %s/%s", repo.Namespace, repo.Name)
	target, err := NewTarget(repo)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", about, err)
	}
	asking := registry.NewClient(clk)
	access, err := asking.Access(ctx, c, RegistrySpec(repo))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", about, err)
	}
	snapshot, err := NewClient(asking, clk).Tags(ctx, target, access)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", about, err)
	}
	var tags []string
	for tag := range snapshot.All() {
		tags = append(tags, strings.Clone(tag))
	}
	return tags, nil
}
