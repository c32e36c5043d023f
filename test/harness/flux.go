// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// StartFlux starts source-controller, kustomize-controller or notification-controller of the release
// of Flux that we are compared with, for one namespace, with its data and log under dir, and flags besides.
func (p *Playground) StartFlux(ctx context.Context, name, namespace, dir string, flags ...string) (*Process, error) {
	bin, err := Upstream(ctx, name)
	if err != nil {
		return nil, err
	}
	args := []string{"--watch-all-namespaces=false", "--enable-leader-election=false", "--log-level=debug"}
	for _, flag := range []string{"metrics-addr", "health-addr", "storage-addr"} {
		addr, err := FreeAddr()
		if err != nil {
			return nil, err
		}
		switch {
		case flag != "storage-addr":
			args = append(args, "--"+flag+"="+addr)
		case name == "source-controller":
			args = append(args, "--storage-addr="+addr, "--storage-adv-addr="+addr, "--storage-path="+filepath.Join(dir, "artifacts"))
		}
	}
	// At its start kustomize-controller empties the folder for temporary files of what looks
	// like its own, also of one that runs beside it.
	temporary := filepath.Join(dir, "tmp")
	for _, folder := range []string{filepath.Join(dir, "artifacts"), temporary} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
	}
	flux := NewProcess(bin, filepath.Join(dir, name+".log"), append(args, flags...)...)
	flux.env = append(flux.env, "KUBECONFIG="+p.Kubeconfig, "RUNTIME_NAMESPACE="+namespace, "TUF_ROOT="+dir, "TMPDIR="+temporary)
	return flux, flux.Launch()
}

// InstallFlux applies those of Flux's CRDs that Sluice has none of, which its
// controllers wait for, and returns what removes them.
func (p *Playground) InstallFlux(ctx context.Context, controllers ...string) (remove func(context.Context), err error) {
	var added []client.Object
	for _, name := range controllers {
		bin, err := Upstream(ctx, name)
		if err != nil {
			return nil, err
		}
		files, err := filepath.Glob(filepath.Join(filepath.Dir(bin), "crd", "*.yaml"))
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("no CRDs of %s", name)
		}
		for _, file := range files {
			crd := &apiextensionsv1.CustomResourceDefinition{}
			data, err := os.ReadFile(file)
			if err == nil {
				err = yaml.Unmarshal([]byte(strings.TrimPrefix(string(data), "---\n")), crd)
			}
			if err != nil {
				return nil, fmt.Errorf("reading %s: %w", file, err)
			}
			if p.Client.Get(ctx, client.ObjectKeyFromObject(crd), &apiextensionsv1.CustomResourceDefinition{}) == nil {
				continue
			}
			if err := p.Client.Create(ctx, crd); err != nil {
				return nil, err
			}
			added = append(added, crd)
		}
	}
	remove = func(ctx context.Context) {
		for _, crd := range added {
			_ = p.Client.Delete(ctx, crd)
		}
	}
	return remove, p.waitEstablished(ctx)
}
