// SPDX-License-Identifier: Apache-2.0

// Package update is `sluice update`: it writes images into the files of a local directory, as an ImageUpdateAutomation does in
// Git, or shows the diff. The file of --policies says which policy has chosen which image: it has ImagePolicies with their
// status, as kubectl prints them, or a line for each. No cluster, registry or Git server is asked.
//
// The files are edited by package writeback, and none outside of the directory is read or written.
package update

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/manifest"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/markers"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/writeback"
)

// ErrOutdated is what the command ends with, if --exit-code asks for it, when there was
// something to update. It is an answer, not a failure.
var ErrOutdated = errors.New("files are not up to date")

// update is `sluice update`.
type update struct {
	output         output.Flags
	dir, path      string
	policies       string
	namespace      string
	diff, dry      bool
	reportOutdated bool
}

// Command is `sluice update`.
func Command() *cobra.Command {
	u := &update{}
	cmd := &cobra.Command{
		Use:   "update --policies FILE",
		Short: "Write images into a local directory, without a cluster",
		Long: `Write images into the files of a local directory, as an ImageUpdateAutomation
does in Git: the same code, without a cluster and without Git.

--policies names a file with ImagePolicies that have a status.latestRef, as
kubectl get imagepolicies -A -o yaml prints them, or with lines such as

  apps:podinfo: ghcr.io/stefanprodan/podinfo:6.7.0

where apps:podinfo is the namespace and the name that markers have. A marker
that cannot be set is told of on standard error and does not stop the others.

It ends with code 0 when all went well, 1 when something failed and, with
--exit-code, 2 when something was or would be updated.`,
		Example: `  sluice update --dir fleet --policies images.yaml
  kubectl get imagepolicies -A -o yaml | sluice update --policies - --diff
  sluice update --dir fleet --path clusters/prod --policies images.yaml --dry-run --exit-code`,
		Args: cobra.NoArgs,
		RunE: u.run,
	}
	set := cmd.Flags()
	set.StringVar(&u.dir, "dir", ".", "directory to update; nothing outside of it is read or written")
	set.StringVar(&u.path, "path", "", "file or directory in it to update, like spec.update.path; default: all of it")
	set.StringVar(&u.policies, "policies", "", "file that says what was chosen; - is standard input")
	set.StringVarP(&u.namespace, "namespace", "n", "", "namespace of the policies that name none")
	set.BoolVar(&u.diff, "diff", false, "print what would change as a unified diff, and write nothing")
	set.BoolVar(&u.dry, "dry-run", false, "write nothing")
	set.BoolVar(&u.reportOutdated, "exit-code", false, "end with code 2 when something was or would be updated")
	_ = cmd.MarkFlagRequired("policies")
	_ = cmd.MarkFlagDirname("dir")
	u.output.Register(cmd)
	cmd.MarkFlagsMutuallyExclusive("diff", "output")
	return cmd
}

func (u *update) run(cmd *cobra.Command, _ []string) error {
	if err := u.output.Validate(); err != nil {
		return err
	}
	content, err := manifest.ReadFile(cmd, u.policies)
	if err != nil {
		return fmt.Errorf("--policies: %w", err)
	}
	chosen, err := parseChoices(content, u.namespace)
	if err != nil {
		return fmt.Errorf("--policies: reading %s: %w", u.policies, err)
	}
	dir, err := writeback.OpenDirectory(u.dir)
	if err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	defer dir.Close()
	r, err := plan(cmd.Context(), dir, u.path, chosen, u.done())
	if err != nil {
		return err
	}
	if err := u.finish(cmd, dir, r); err != nil {
		return err
	}
	switch {
	case len(r.held) > 0:
		return errors.Join(r.held...)
	case u.reportOutdated && len(r.contents) > 0:
		return ErrOutdated
	}
	return nil
}

// done is the state of a marker with a new value.
func (u *update) done() report.MarkerState {
	if u.dry || u.diff {
		return report.MarkerOutdated
	}
	return report.MarkerUpdated
}

// finish writes what is to be written, and prints what was done.
func (u *update) finish(cmd *cobra.Command, dir *writeback.Directory, r planned) error {
	for _, m := range r.markers {
		if m.State == report.MarkerSkipped || m.State == report.MarkerHeld {
			output.Note(cmd, "%s", m.Sentence())
		}
	}
	if u.diff {
		return u.printDiff(cmd.OutOrStdout(), dir, r)
	}
	if !u.dry {
		for _, file := range slices.Sorted(maps.Keys(r.contents)) {
			if err := dir.WriteFile(file, r.contents[file]); err != nil {
				return fmt.Errorf("writing %s: %w", file, err)
			}
		}
	}
	did := "updated"
	if u.dry {
		did = "would update"
	}
	found := report.DirectoryMarkers{Markers: markers.Reports(r.markers)}
	output.Note(cmd, "%s %d of %d markers in %d files", did, report.CountMarkers(found.Markers, u.done()), len(found.Markers), len(r.contents))
	shown := found.Markers
	if f := u.output.Format(); f == output.Short || f == output.Name {
		shown = slices.DeleteFunc(slices.Clone(shown), func(m report.Marker) bool { return m.State != u.done() })
		if len(shown) == 0 {
			return nil
		}
	}
	return u.output.Print(cmd.OutOrStdout(), markers.Table(shown, "OLD", "NEW"), found)
}

func (u *update) printDiff(w io.Writer, dir *writeback.Directory, r planned) error {
	for _, file := range slices.Sorted(maps.Keys(r.contents)) {
		before, err := dir.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		if _, err := io.WriteString(w, unifiedDiff(file, before, r.contents[file])); err != nil {
			return err
		}
	}
	return nil
}

// planned is what the policies of all namespaces make of a directory.
type planned struct {
	markers  []markers.Entry
	contents map[string][]byte
	held     []error // policies that were left out because a part is missing
}

// otherNamespace is said of markers that no policy of the file can be meant by.
const otherNamespace = "the file has no policies of this namespace"

// plan runs one namespace after the other, each on what the ones before it left:
// an automation, too, writes only the policies of its own. done is the state of the
// markers that get a new value.
func plan(ctx context.Context, dir *writeback.Directory, path string, chosen choices, done report.MarkerState) (planned, error) {
	all := planned{contents: map[string][]byte{}}
	found := map[string]markers.Entry{}
	for _, namespace := range slices.Sorted(maps.Keys(chosen)) {
		p, err := writeback.Plan(ctx, overlay{dir, all.contents}, path, *chosen[namespace])
		if err != nil {
			return planned{}, fmt.Errorf("looking for markers: %w", err)
		}
		if p.Held != nil {
			all.held = append(all.held, p.Held)
		}
		maps.Copy(all.contents, p.Contents)
		for _, m := range markers.FromReport(p.Report, done) {
			if of := m.Namespace(); of != "" && chosen[of] == nil {
				m.Why = otherNamespace
			} else if _, known := found[m.Location()]; known && of != namespace {
				continue
			}
			found[m.Location()] = m
		}
	}
	all.markers = slices.SortedFunc(maps.Values(found), func(a, b markers.Entry) int { return a.Compare(b.Marker) })
	return all, nil
}

// overlay is a directory as it will be.
type overlay struct {
	*writeback.Directory
	edited map[string][]byte
}

// ReadFile implements writeback.Files.
func (o overlay) ReadFile(name string) ([]byte, error) {
	if content, ok := o.edited[name]; ok {
		return content, nil
	}
	return o.Directory.ReadFile(name)
}
