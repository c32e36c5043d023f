// SPDX-License-Identifier: Apache-2.0

package contract

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// Golden is a folder of canary/router/testdata: in.yaml has a Canary, and perhaps objects that are
// there before it comes, want.yaml the route objects that it gets. A Canary with
// a phase gets its status.canaryWeight, any other 30 percent.
type Golden struct {
	dir    string
	Name   string
	Canary *flaggerv1.Canary
	Before []*unstructured.Unstructured
}

// Goldens reads those of a folder.
func Goldens(t *testing.T, dir string) []Golden {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "in.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	var out []Golden
	for _, file := range files {
		data, err := os.ReadFile(file)
		must(t, err)
		g := Golden{dir: filepath.Dir(file), Name: filepath.Base(filepath.Dir(file)), Canary: &flaggerv1.Canary{}}
		reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
		first, err := reader.Read()
		must(t, err)
		if err := yaml.UnmarshalStrict(first, g.Canary); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for {
			doc, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
			object := &unstructured.Unstructured{}
			must(t, yaml.Unmarshal(doc, object))
			g.Before = append(g.Before, object)
		}
		out = append(out, g)
	}
	return out
}

// Weights are those that the routes are rendered with.
func (g Golden) Weights() provider.Weights {
	share := 30
	if g.Canary.Status.Phase != "" {
		share = g.Canary.Status.CanaryWeight
	}
	return provider.Weights{Primary: 100 - share, Canary: share, Mirror: g.Canary.Spec.Analysis.Mirror}
}

// Path is that of the expected route objects.
func (g Golden) Path() string { return filepath.Join(g.dir, "want.yaml") }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
