// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/scan"
)

// Bounds of a list of tags in a file.
const (
	maxTagLength = 4096
	maxTagList   = 256 << 20
)

// readTags reads one tag a line, in UTF-8. Blank lines, and lines that start with "#",
// are none.
func readTags(cmd *cobra.Command, name string) ([]string, error) {
	in := cmd.InOrStdin()
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("--tags: %w", err)
		}
		defer file.Close()
		in = file
	}
	var tags []string
	lines := bufio.NewScanner(io.LimitReader(in, maxTagList))
	lines.Buffer(nil, maxTagLength)
	for lines.Scan() {
		line := strings.TrimPrefix(lines.Text(), "\uFEFF")
		if strings.Contains(line, "\x00") {
			return nil, fmt.Errorf("--tags: %s is not UTF-8: save it as UTF-8, as PowerShell does with Out-File -Encoding utf8", name)
		}
		if tag := strings.TrimSpace(line); tag != "" && !strings.HasPrefix(tag, "#") {
			tags = append(tags, tag)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("--tags: reading %s: %w", name, err)
	}
	return tags, nil
}

// scanTags lists the tags of an ImageRepository as the controller does: with its
// credentials, which takes the right to read them.
func scanTags(cmd *cobra.Command, c client.Client, repo *imagev1.ImageRepository) ([]string, error) {
	var found []string
	err := output.Await(cmd, "listing the tags of "+repo.Spec.Image, func() (err error) {
		found, err = scan.List(cmd.Context(), c, repo, clock.RealClock{})
		return err
	})
	switch {
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("%w\nyou may not read the credentials of the registry: give the tags yourself, one a line, with --tags FILE", err)
	case err != nil:
		return nil, fmt.Errorf("%w\nto judge tags without the registry, give them with --tags FILE", err)
	}
	return found, nil
}
