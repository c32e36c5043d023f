// SPDX-License-Identifier: Apache-2.0

// Package kustomization is the commands about Kustomizations: what one of them makes of a
// directory, and how that differs from what is in the cluster.
//
//	Kustomization (file or cluster) + directory --> build --> objects        sluice build
//	objects --> dry run of the API server --> how they would change          sluice diff
//
// Nothing is written, neither to the cluster nor to the directory.
package kustomization

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/sourceignore"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/remote"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/manifest"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/usage"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/tree"
)

// profile is that of the controller.
var profile = decide.NewProfile(
	schema.GroupKind{Group: kustomizev1.GroupVersion.Group, Kind: kustomizev1.KustomizationKind}, "kustomize-controller")

// builder builds a Kustomization from a directory.
type builder struct {
	cluster *cluster.Cluster
	// path is the directory that stands for spec.path, file has the Kustomization, and ignore
	// are patterns of files that are left out.
	path, file string
	ignore     []string
	strict     bool
	// offline asks no cluster.
	offline bool
	// recursive goes on with the Kustomizations among the objects, whose sources are
	// directories: by KIND/NAMESPACE/NAME.
	recursive bool
	sources   map[string]string
}

func (b *builder) register(cmd *cobra.Command) {
	set := cmd.Flags()
	set.StringVar(&b.path, "path", "", "directory to build; default: spec.path, below the top of the Git checkout")
	set.StringVarP(&b.file, "kustomization-file", "f", "", "file with the Kustomization, - is standard input; default: the one in the cluster")
	set.StringSliceVar(&b.ignore, "ignore-paths", nil, "files to leave out, in the format of .gitignore")
	set.BoolVarP(&b.recursive, "recursive", "r", false, "go on with the Kustomizations that are among the objects")
	set.StringToStringVar(&b.sources, "local-sources", nil,
		"directories that stand for the sources of those, as KIND/NAMESPACE/NAME=DIRECTORY,...")
	set.BoolVar(&b.strict, "strict-substitute", true, "fail at variables that have neither a value nor a default, as the controller does")
}

// BuildCommand is `sluice build kustomization`.
func BuildCommand(c *cluster.Cluster) *cobra.Command {
	b := &builder{cluster: c}
	cmd := &cobra.Command{
		Use:     "kustomization NAME",
		Aliases: []string{"kustomizations", "ks"},
		Short:   "Print the objects that a Kustomization makes of a directory",
		Long: `Print the objects that a Kustomization makes of a directory, as they would be
applied: with what the spec adds, variables and labels. The directory is not changed.
Values that SOPS encrypted in Secrets are masked: they are decrypted in the cluster
only. With --dry-run no cluster is asked, and variables of spec.postBuild.substituteFrom
are left out: they are empty unless they have a default, or fail with --strict-substitute.
Bases and files at URLs are fetched, without credentials. What is probably a mistake is
noted on standard error.

With --recursive the Kustomizations that are among the objects are built as well, as
they are there and not as they are in the cluster, each from its spec.path in the
directory that --local-sources names for its source.`,
		Example: `  sluice build kustomization podinfo -n apps --path ./apps/podinfo
  sluice build kustomization fleet -n flux-system --path ./clusters/eu --recursive \
    --local-sources GitRepository/flux-system/fleet=.
  sluice build kustomization podinfo -f clusters/eu/podinfo.yaml --dry-run`,
		Args:              usage.OneName("kubectl get kustomizations"),
		ValidArgsFunction: c.Complete(newList),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := b.build(cmd, args[0])
			if err != nil {
				return err
			}
			for _, built := range all {
				if err := built.print(cmd.OutOrStdout()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	b.register(cmd)
	cmd.Flags().BoolVar(&b.offline, "dry-run", false, "ask no cluster; needs --kustomization-file")
	return cmd
}

func newList() client.ObjectList { return &kustomizev1.KustomizationList{} }

// requestOf is what the controller applies of objects.
func requestOf(k *kustomizev1.Kustomization, objects []*unstructured.Unstructured) apply.Request {
	req := apply.Request{Objects: objects}
	if common := k.Spec.CommonMetadata; common != nil {
		req.Labels, req.Annotations = common.Labels, common.Annotations
	}
	return req
}

// builtKustomization is a Kustomization with its objects, without the metadata that all are given.
type builtKustomization struct {
	k       *kustomizev1.Kustomization
	objects []*unstructured.Unstructured
}

// print prints the objects as they would be applied.
func (b builtKustomization) print(out io.Writer) error {
	apply.SetMetadata(profile, profile.Owner(b.k.Namespace, b.k.Name), requestOf(b.k, b.objects))
	for _, u := range b.objects {
		text, err := yaml.Marshal(u.Object)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s---\n", text); err != nil {
			return err
		}
	}
	return nil
}

// build returns the Kustomization with its objects, and those that are among them if it is to
// go on with them, and notes what is probably a mistake.
func (b *builder) build(cmd *cobra.Command, name string) ([]builtKustomization, error) {
	if b.offline && b.file == "" {
		return nil, errors.New("--dry-run asks no cluster for the Kustomization: name its file with --kustomization-file")
	}
	var reader client.Client
	if !b.offline {
		c, err := b.cluster.Client()
		if err != nil {
			return nil, err
		}
		reader = c
	}
	k, err := b.find(cmd, reader, name)
	if err != nil {
		return nil, err
	}
	top, path, err := b.place(k.Spec.Path)
	if err != nil {
		return nil, fmt.Errorf("building Kustomization %s: %w", k.Name, err)
	}
	objects, err := b.objects(cmd, reader, k, directory{top, path})
	if err != nil {
		return nil, fmt.Errorf("building Kustomization %s: %w", k.Name, err)
	}
	if b.recursive {
		return b.below(cmd, reader, builtKustomization{k, objects})
	}
	return []builtKustomization{{k, objects}}, nil
}

// directory is one that a build may read, and the path in it that is built.
type directory struct{ top, path string }

// find reads the Kustomization from the file, or from the cluster.
func (b *builder) find(cmd *cobra.Command, reader client.Client, name string) (*kustomizev1.Kustomization, error) {
	k := &kustomizev1.Kustomization{}
	if b.file == "" {
		return k, b.cluster.Get(cmd.Context(), reader, name, k)
	}
	text, err := manifest.ReadFile(cmd, b.file)
	if err != nil {
		return nil, err
	}
	documents, err := manifest.Split(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", b.file, err)
	}
	for _, document := range documents {
		var is metav1.PartialObjectMetadata
		if yaml.Unmarshal(document, &is) != nil || is.Name != name || is.GroupVersionKind().GroupKind() != profile.Owners {
			continue
		}
		if want := kustomizev1.GroupVersion.String(); is.APIVersion != want {
			return nil, fmt.Errorf("%s: Kustomization %s is of version %s, which is not read: change it to %s, as flux migrate does",
				b.file, name, is.APIVersion, want)
		}
		if err := yaml.UnmarshalStrict(document, k); err != nil {
			return nil, fmt.Errorf("reading %s: %w", b.file, err)
		}
		if k.Namespace == "" {
			k.Namespace, err = b.cluster.Namespace()
		}
		return k, err
	}
	return nil, fmt.Errorf("%s has no Kustomization %s of %s", b.file, name, kustomizev1.GroupVersion)
}

// objects builds k from the directory.
func (b *builder) objects(
	cmd *cobra.Command, reader client.Client, k *kustomizev1.Kustomization, in directory,
) ([]*unstructured.Unstructured, error) {
	var from client.Reader
	if reader != nil {
		from = reader
	}
	sub, err := build.ReadVariables(cmd.Context(), from, k, func(string, string, string) {})
	if err != nil {
		return nil, err
	}
	if sub != nil {
		sub.Lenient = b.lenient(cmd, k)
	}
	root, err := os.OpenRoot(in.top)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	spec := build.SpecOf(k, sub)
	spec.Path, spec.Masks = in.path, true
	mirrors, err := os.MkdirTemp("", "sluice-remote-bases-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(mirrors)
	fetcher := remote.Fetcher{Mirrors: git.NewMirrors(mirrors, clock.RealClock{}), Guard: outbound.Unguarded()}
	fetcher.Session(k.Namespace).Fetch(cmd.Context(), &spec)
	result, err := build.Build(tree.NewDisk(root, b.leaves()), spec)
	if err != nil {
		return nil, err
	}
	hide := sub.Mask()
	for _, w := range result.Warnings {
		output.Note(cmd, "warning: %s", output.Clean(hide.Text(w.Text)))
	}
	return result.Objects, nil
}

// lenient reports whether variables may have no value. A dry run does not know those of ConfigMaps and
// Secrets, so that it fails at none unless it is told to.
func (b *builder) lenient(cmd *cobra.Command, k *kustomizev1.Kustomization) bool {
	from := k.Spec.PostBuild.SubstituteFrom
	if !b.offline || len(from) == 0 {
		return !b.strict
	}
	names := make([]string, len(from))
	for i, ref := range from {
		names[i] = ref.Kind + "/" + ref.Name
	}
	left := strings.Join(names, ", ")
	if cmd.Flags().Changed("strict-substitute") && b.strict {
		output.Note(cmd, "the variables of %s are left out", output.Clean(left))
		return false
	}
	output.Note(cmd, "the variables of %s are left out: what has neither another value nor a default is empty", output.Clean(left))
	return true
}

// leaves reports what is left out.
func (b *builder) leaves() func(string, bool) bool {
	if len(b.ignore) == 0 {
		return nil
	}
	patterns := sourceignore.ReadPatterns(strings.NewReader(strings.Join(b.ignore, "\n")), nil)
	matcher := sourceignore.NewMatcher(patterns)
	return func(name string, dir bool) bool { return matcher.Match(strings.Split(name, "/"), dir) }
}

// place is the directory that a build may read, and the path in it that is built. Bases are
// often beside the path: the directory is the top of the checkout, if there is one, else the
// working directory if the path is in it.
func (b *builder) place(specPath string) (top, path string, err error) {
	working, err := os.Getwd()
	if err != nil {
		return "", "", err
	}
	if b.path == "" {
		top, ok := checkout(working)
		if !ok {
			return "", "", errors.New("this is no Git checkout, whose top spec.path would be in: name the directory with --path")
		}
		return top, specPath, nil
	}
	at, err := filepath.Abs(b.path)
	if err == nil {
		at, err = filepath.EvalSymlinks(at)
	}
	if err != nil {
		return "", "", err
	}
	if info, err := os.Stat(at); err != nil || !info.IsDir() {
		return "", "", fmt.Errorf("--path: %s is no directory", b.path)
	}
	top = at
	if found, ok := checkout(at); ok {
		top = found
	} else if within, err := filepath.Rel(working, at); err == nil && filepath.IsLocal(within) {
		top = working
	}
	path, err = filepath.Rel(top, at)
	return top, filepath.ToSlash(path), err
}

// checkout is the top of the Git checkout that a directory is in.
func checkout(dir string) (string, bool) {
	for {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); !errors.Is(err, fs.ErrNotExist) {
			return dir, err == nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}
