// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fieldManager marks what the harness applied.
const fieldManager = "harness"

// Root is the module's root: the folder above the caller that holds go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(data, []byte("module github.com/sluice-cd/sluice\n")) {
			return dir, nil
		}
	}
	return "", errors.New("no go.mod of Sluice in this folder or above")
}

var installOnce sync.Once

// Installed is the running playground with Sluice's CRDs and those of the Gateway
// API, which the first test of a process applies for all. Without a playground the
// test is skipped.
func Installed(tb testing.TB) *Playground {
	tb.Helper()
	p := Require(tb)
	var err error
	installOnce.Do(func() { err = p.Install(tb.Context()) })
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// Install applies Sluice's CRDs and those of the Gateway API, and waits until
// the API server serves them.
func (p *Playground) Install(ctx context.Context) error {
	root, err := Root()
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "go", "-C", root, "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		return fmt.Errorf("finding the Gateway API's CRDs: %w", err)
	}
	gateway := filepath.Join(strings.TrimSpace(string(out)), "config", "crd", "standard")
	var files []string
	for _, pattern := range []string{
		filepath.Join(root, "config", "crd", "bases", "*.yaml"),
		filepath.Join(gateway, "*_gateways.yaml"), filepath.Join(gateway, "*_gatewayclasses.yaml"),
		filepath.Join(gateway, "*_httproutes.yaml"), filepath.Join(gateway, "*_grpcroutes.yaml"),
	} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			return fmt.Errorf("no CRDs match %s", pattern)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		if err := p.ApplyFile(ctx, file); err != nil {
			return err
		}
	}
	return p.waitEstablished(ctx)
}

// InstallDefault applies config/default with kubectl, as the README says, after [Playground.Install]: its Deployment
// runs on a simulated node, and so runs nothing.
func (p *Playground) InstallDefault(ctx context.Context) error {
	root, err := Root()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, p.Kubectl, "apply", "--server-side", "--force-conflicts", "-k", filepath.Join(root, "config", "default"))
	cmd.Env = append(os.Environ(), "KUBECONFIG="+p.Kubeconfig)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl apply -k config/default: %w\n%s", err, out)
	}
	return nil
}

func (p *Playground) waitEstablished(ctx context.Context) error {
	_, err := Eventually(ctx, "serving the CRDs", Patience, func(ctx context.Context) (bool, string) {
		var list apiextensionsv1.CustomResourceDefinitionList
		if err := p.Client.List(ctx, &list); err != nil {
			return false, err.Error()
		}
		for i := range list.Items {
			if !established(&list.Items[i]) {
				return false, list.Items[i].Name + " is not established"
			}
		}
		return true, ""
	})
	return err
}

func established(crd *apiextensionsv1.CustomResourceDefinition) bool {
	for _, c := range crd.Status.Conditions {
		if c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue {
			return true
		}
	}
	return false
}

// ApplyFile applies every document of a YAML file.
func (p *Playground) ApplyFile(ctx context.Context, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := p.Apply(ctx, data); err != nil {
		return fmt.Errorf("applying %s: %w", filepath.Base(file), err)
	}
	return nil
}

// Apply applies every document of a YAML stream.
func (p *Playground) Apply(ctx context.Context, data []byte) error {
	objects, err := Objects(data)
	if err != nil {
		return err
	}
	for _, obj := range objects {
		err := p.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(obj), client.FieldOwner(fieldManager), client.ForceOwnership)
		if err != nil {
			return fmt.Errorf("applying %s %s: %w", obj.GetKind(), client.ObjectKeyFromObject(obj), err)
		}
	}
	return nil
}

// Objects reads every document of a YAML stream that is not empty.
func Objects(data []byte) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	var found []*unstructured.Unstructured
	for {
		obj := &unstructured.Unstructured{}
		if err := decoder.Decode(obj); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, err
		}
		if len(obj.Object) > 0 {
			found = append(found, obj)
		}
	}
}
