// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	ssautil "github.com/fluxcd/pkg/ssa/utils"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/apply/build"
)

// buildFlags bound the builds of Kustomizations.
type buildFlags struct {
	timeout       time.Duration
	maxObjects    int64
	noRemoteBases bool
}

func (f *buildFlags) register(set *pflag.FlagSet) {
	set.DurationVar(&f.timeout, "build-timeout", 2*time.Minute, "longest time that the build of one Kustomization may take")
	set.Int64Var(&f.maxObjects, "build-max-objects", 10_000, "most objects of one Kustomization, and most kustomizations that it uses")
	set.BoolVar(&f.noRemoteBases, "no-remote-bases", true, "refuse bases and files that kustomizations have at URLs; with false, they are "+
		"fetched, without credentials")
}

func (f *buildFlags) validate() error {
	if f.timeout <= 0 || f.maxObjects < 1 {
		return errors.New("--build-timeout and --build-max-objects must be positive")
	}
	return nil
}

// parseGroupKinds reads a list such as "rbac.authorization.k8s.io/Role,ConfigMap", as Flux has it.
func parseGroupKinds(list string) (map[schema.GroupKind]struct{}, error) {
	kinds, err := ssautil.ParseGroupKindSet(list)
	if err != nil {
		return nil, err
	}
	for kind := range kinds {
		if strings.Contains(kind.Kind, "/") {
			return nil, fmt.Errorf("%s/%s is no group/Kind: leave the version out", kind.Group, kind.Kind)
		}
	}
	return kinds, nil
}

// builder builds what this program cannot measure in processes of its own.
func (w *wiring) builder() (*build.Builder, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the program to build with: %w", err)
	}
	limits := w.flags.builds
	return &build.Builder{
		Memory: w.memory, Timeout: limits.timeout, Command: []string{program},
		Bounds: build.Bounds{Objects: limits.maxObjects, Bases: limits.maxObjects},
	}, nil
}

// ServeBuild does the work of a process that a Builder has started, which is to build
// one Kustomization. In any other process it does nothing, and served is false.
func ServeBuild() (served bool, err error) {
	if os.Getenv(build.ServeVariable) == "" {
		return false, nil
	}
	return true, build.Serve(os.Stdin, os.Stdout)
}
