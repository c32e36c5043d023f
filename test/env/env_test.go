// SPDX-License-Identifier: Apache-2.0

package env

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want map[string]string
	}{
		"values are unquoted": {
			text: "export KUBECONFIG='/a b/kubeconfig'\nexport SLUICE_NODE='simulated'\n",
			want: map[string]string{"KUBECONFIG": "/a b/kubeconfig", "SLUICE_NODE": "simulated"},
		},
		"a quote inside a value survives": {
			text: `export DIR='/it'\''s here'`,
			want: map[string]string{"DIR": "/it's here"},
		},
		"an equals sign belongs to the value": {
			text: "export URL='http://h/?a=b'",
			want: map[string]string{"URL": "http://h/?a=b"},
		},
		"an empty file has no variables": {want: map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, parse(tc.text)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFindSaysWhatIsMissing(t *testing.T) {
	t.Setenv("SLUICE_REGISTRY", "")
	dir := t.TempDir()
	if _, err := Find(dir); !errors.Is(err, ErrNone) {
		t.Errorf("without a playground: got %v, want %v", err, ErrNone)
	}
	if err := os.Mkdir(filepath.Join(dir, ".playground"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".playground", "env"), []byte("export KUBECONFIG='x'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(filepath.Join(dir, "below")); !errors.Is(err, ErrNone) {
		t.Errorf("with half an env file: got %v, want %v", err, ErrNone)
	}
}

func TestRequireFindsTheRunningPlayground(t *testing.T) {
	pg := Require(t)
	if pg.Registry == "" || pg.REST.Host == "" {
		t.Errorf("incomplete: %+v", pg)
	}
}
