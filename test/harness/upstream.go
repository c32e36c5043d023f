// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/test/env"
)

// RequireUpstream is the path of a program of the field that hack/upstream.sh has
// built. Where it has not, the test is skipped.
func RequireUpstream(tb testing.TB, name string) string {
	tb.Helper()
	path, err := upstreamIfBuilt(tb.Context(), name)
	if err != nil {
		tb.Fatal(err)
	}
	if path == "" {
		env.Missing(tb, fmt.Errorf("%s is not built: run hack/upstream.sh %s", name, name))
	}
	return path
}

func upstreamIfBuilt(ctx context.Context, name string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, filepath.Join(root, "hack", "upstream.sh"), "--if-built", name).Output()
	return strings.TrimSpace(string(out)), err
}

// Upstream builds a program of the field once, and returns its path.
func Upstream(ctx context.Context, name string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, filepath.Join(root, "hack", "upstream.sh"), name)
	build.Stderr = os.Stderr
	out, err := build.Output()
	if err != nil {
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}
