// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/traffic"
)

// delivery is what every chain consists of: an image, a Git repository, the objects
// that carry the one to the other, and namespaces in which the app has users.
type delivery struct {
	*harness.Playground
	// Namespace has the objects that deliver; the repositories have its name, too.
	Namespace string
	Repo      *harness.Repo
	// Ledger counts what users got since it was opened.
	Ledger traffic.Ledger

	images  images
	samples string            // folder of manifests, below config/samples
	chain   []string          // files of the folder that have the chain, each of which may replace objects of those before
	values  map[string]string // of variables of the manifests, besides the playground's
	names   map[string]string // of namespaces: here, by what samples call them
	apps    []string          // namespaces in which the app runs

	requests int // of users, a second
}

func newDelivery(p *harness.Playground, samples string) (*delivery, error) {
	root, err := harness.Root()
	d := &delivery{
		Playground: p, samples: filepath.Join(root, "config", "samples", samples),
		images: labelled{p}, requests: requestsPerSecond, Ledger: traffic.Ledger{Slow: Slow},
	}
	d.chain = []string{"chain.yaml"}
	if p.Node == "real" {
		d.images = &built{playground: p}
	}
	return d, err
}

// apply installs the kinds, pushes the first image, and applies the chain once seed has
// filled the repository with the files of the samples.
func (d *delivery) apply(ctx context.Context, o Options, seed func(context.Context, map[string][]byte) error) error {
	if err := d.Install(ctx); err != nil {
		return err
	}
	if err := d.push(ctx, Release{Tag: First}); err != nil {
		return err
	}
	files, err := d.files(o)
	if err != nil {
		return err
	}
	if err := seed(ctx, files); err != nil {
		return err
	}
	for _, file := range d.chain {
		manifests, err := d.read(filepath.Join(d.samples, file))
		if err != nil {
			return err
		}
		if err := d.Apply(ctx, manifests); err != nil {
			return err
		}
	}
	return nil
}

// seedUnder seeds a repository of the playground's Git server.
func (d *delivery) seedUnder(work string) func(context.Context, map[string][]byte) error {
	return func(ctx context.Context, files map[string][]byte) (err error) {
		if d.Repo, err = d.NewRepo(ctx, d.Namespace, work); err != nil {
			return err
		}
		_, err = d.Repo.Commit(ctx, "Begin with "+First, files)
		return err
	}
}

// Image is the repository that releases are pushed to, without a tag.
func (d *delivery) Image() string { return d.Registry + "/" + d.repository() }

func (d *delivery) repository() string { return d.Namespace + "/" + App }

func (d *delivery) push(ctx context.Context, r Release) error {
	if r.Traits == (traffic.Traits{}) {
		r.Traits = traffic.Healthy
	}
	return d.images.push(ctx, d.repository(), r)
}

// files are those of the sample repository.
func (d *delivery) files(o Options) (map[string][]byte, error) {
	dir := filepath.Join(d.samples, "repository")
	files := map[string][]byte{}
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*.yaml"))
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("no manifests in %s", dir)
	}
	for _, path := range paths {
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return nil, err
		}
		if files[name], err = d.read(path); err != nil {
			return nil, err
		}
		if filepath.Base(name) != "canary.yaml" {
			continue
		}
		if files[name], err = tune(files[name], o); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// tune makes the analysis of a test as short as the test wants it.
func tune(manifest []byte, o Options) ([]byte, error) {
	if o.Interval == 0 && o.Deadline == 0 && o.Threshold == 0 {
		return manifest, nil
	}
	canary := &flaggerv1.Canary{}
	if err := yaml.UnmarshalStrict(manifest, canary); err != nil {
		return nil, err
	}
	if o.Deadline > 0 {
		canary.Spec.ProgressDeadlineSeconds = ptr.To(int32(o.Deadline.Seconds()))
	}
	if o.Threshold > 0 {
		canary.Spec.Analysis.Threshold = o.Threshold
	}
	if o.Interval > 0 {
		canary.Spec.Analysis.Interval = o.Interval.String()
		for i := range canary.Spec.Analysis.Metrics {
			canary.Spec.Analysis.Metrics[i].Interval = max(o.Interval, 3*time.Second).String() // rate() needs two scrapes
		}
	}
	return yaml.Marshal(canary)
}

var (
	variable = regexp.MustCompile(`\$\{(SLUICE_[A-Z_]+)\}`)
	// named is where a sample names a namespace, or a repository that is called like one.
	named = regexp.MustCompile(`([nN]amespace: |kind: Namespace\nmetadata:\n  name: |_(?:REGISTRY|URL)\}/|"\$imagepolicy": ")([a-z]+)\b`)
)

// read reads a sample, moves it to the namespaces of the chain, and fills in the
// playground's variables.
func (d *delivery) read(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	values := map[string]string{
		"SLUICE_REGISTRY": d.Registry, "SLUICE_GIT_URL": d.GitURL,
		"SLUICE_GIT_USERNAME": d.GitUsername, "SLUICE_GIT_PASSWORD": d.GitPassword,
	}
	maps.Copy(values, d.values)
	data = named.ReplaceAllFunc(data, func(match []byte) []byte {
		parts := named.FindSubmatch(match)
		if name, ok := d.names[string(parts[2])]; ok {
			return append(slices.Clip(parts[1]), name...)
		}
		return match
	})
	return variable.ReplaceAllFunc(data, func(match []byte) []byte {
		return []byte(values[string(match[2:len(match)-1])])
	}), nil
}

// primaryIn is the Deployment that the users of a namespace trust.
func (d *delivery) primaryIn(ctx context.Context, namespace string) (*appsv1.Deployment, error) {
	primary := &appsv1.Deployment{}
	err := d.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: App + "-primary"}, primary)
	return primary, err
}

func (d *delivery) canaryIn(ctx context.Context, namespace string) (*flaggerv1.Canary, error) {
	canary := &flaggerv1.Canary{}
	err := d.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: App}, canary)
	return canary, err
}

// initialized waits until the first version is the primary everywhere.
func (d *delivery) initialized(ctx context.Context) error {
	for _, namespace := range d.apps {
		if _, err := harness.Eventually(ctx, "initializing the canary in "+namespace, patience, func(ctx context.Context) (bool, string) {
			canary, err := d.canaryIn(ctx, namespace)
			if err != nil {
				return false, err.Error()
			}
			return canary.Status.Phase == flaggerv1.CanaryPhaseInitialized, seen(canary)
		}); err != nil {
			return err
		}
	}
	return nil
}

// Remove deletes the chain from the cluster and from the Git server. The
// controller has to be running: some kinds are finalized.
func (d *delivery) Remove(ctx context.Context) error {
	var failed []error
	for _, name := range slices.Compact(slices.Sorted(maps.Values(d.names))) {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		_, err := harness.Eventually(ctx, "deleting namespace "+name, patience, func(ctx context.Context) (bool, string) {
			err := d.Client.Delete(ctx, ns)
			return apierrors.IsNotFound(err), fmt.Sprint(err)
		})
		failed = append(failed, err)
	}
	return errors.Join(append(failed, os.RemoveAll(d.Repo.Bare))...)
}
