// SPDX-License-Identifier: Apache-2.0

// Package chain sets up the whole chain on a playground and puts releases
// through it, for the demo, the end-to-end tests and the crash test.
//
// The manifests are those of config/samples/demo, unchanged but for names:
//
//	c, _ := chain.Setup(ctx, playground, work, chain.Options{})
//	go c.Traffic(ctx)                      // users, simulated or real
//	c.Ready(ctx)                           // 1.0.0 is the primary
//	c.Release(ctx, chain.Release{Tag: "1.1.0"})
//	outcome, _ := c.Verdict(ctx, "1.1.0")  // Promoted or RolledBack
//
// [Chain.Follow] tells what happens on the way as a stream of [Entry]. All of it
// is read from the Kubernetes API, the registry and Git, where anybody can look:
// nothing here knows the controller from inside, nor even starts it.
package chain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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

// App is the name of everything in the chain, and of the Deployment at its end.
const App = "podinfo"

// First is the version that a chain starts with.
const First = "1.0.0"

// Slow is what the analysis of the sample calls too slow.
const Slow = 500 * time.Millisecond

// Options vary a chain; the zero value is that of the demo.
type Options struct {
	// Namespace is where all of it lives, and the name of its repositories;
	// default staging.
	Namespace string
	// Interval is that of the analysis; default is the manifest's.
	Interval time.Duration
	// Deadline is how long pods may take to become ready; default is the manifest's.
	Deadline time.Duration
}

// Rules are what Flagger's algorithm depends on in the Canary of the sample.
func (o Options) Rules() traffic.TickRules {
	return traffic.TickRules{Interval: o.Interval, Threshold: 2, StepWeight: 20, MaxWeight: 60}
}

// Good is what the analysis of the sample says of a share of failing requests.
func Good(failing float64) bool { return failing <= 0.01 }

// Chain is a chain that is set up.
type Chain struct {
	*harness.Playground
	Namespace string
	Repo      *harness.Repo
	// Ledger counts what users got since it was opened.
	Ledger traffic.Ledger

	images images
	// judged is the revision that the canary looked at last when a release was
	// pushed: a verdict on it is not one on the release.
	judged string
}

// Release is a version of the app.
type Release struct {
	Tag string
	// Traits are how its pods behave; default is healthy. Real pods know only
	// good and bad: with any error rate a third of their answers are errors, and
	// a third of those are of status 500.
	Traits traffic.Traits
	// Crashes makes real pods end as soon as they start. Simulated ones never do.
	Crashes bool
}

// Setup installs the kinds, makes the Git repository, pushes the first image and
// applies the chain. Its files are kept under the folder work.
func Setup(ctx context.Context, p *harness.Playground, work string, o Options) (*Chain, error) {
	if o.Namespace == "" {
		o.Namespace = "staging"
	}
	c := &Chain{Playground: p, Namespace: o.Namespace, images: labelled{p}, Ledger: traffic.Ledger{Slow: Slow}}
	if p.Node == "real" {
		c.images = &built{playground: p}
	}
	if err := p.Install(ctx); err != nil {
		return nil, err
	}
	if err := c.Release(ctx, Release{Tag: First}); err != nil {
		return nil, err
	}
	samples, err := samples()
	if err != nil {
		return nil, err
	}
	if c.Repo, err = p.NewRepo(ctx, c.Namespace, work); err != nil {
		return nil, err
	}
	if err := c.seed(ctx, filepath.Join(samples, "repository"), o); err != nil {
		return nil, err
	}
	manifests, err := c.read(filepath.Join(samples, "chain.yaml"))
	if err != nil {
		return nil, err
	}
	return c, p.Apply(ctx, manifests)
}

// Image is the repository that releases are pushed to, without a tag.
func (c *Chain) Image() string { return c.Registry + "/" + c.repository() }

func (c *Chain) repository() string { return c.Namespace + "/" + App }

// Release pushes an image. What follows is up to the chain.
func (c *Chain) Release(ctx context.Context, r Release) error {
	if r.Traits == (traffic.Traits{}) {
		r.Traits = traffic.Healthy
	}
	canary, err := c.canary(ctx)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	c.judged = canary.Status.LastAppliedSpec
	return c.images.push(ctx, c.repository(), r)
}

// seed commits the sample repository.
func (c *Chain) seed(ctx context.Context, dir string, o Options) error {
	files := map[string][]byte{}
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*.yaml"))
	if err != nil || len(paths) == 0 {
		return fmt.Errorf("no manifests in %s", dir)
	}
	for _, path := range paths {
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if files[name], err = c.read(path); err != nil {
			return err
		}
	}
	canary := filepath.Join(App, "canary.yaml")
	if files[canary], err = c.tune(files[canary], o); err != nil {
		return err
	}
	_, err = c.Repo.Commit(ctx, "Begin with "+First, files)
	return err
}

// tune makes the analysis of a test as short as the test wants it.
func (c *Chain) tune(manifest []byte, o Options) ([]byte, error) {
	if o.Interval == 0 && o.Deadline == 0 {
		return manifest, nil
	}
	canary := &flaggerv1.Canary{}
	if err := yaml.UnmarshalStrict(manifest, canary); err != nil {
		return nil, err
	}
	if o.Deadline > 0 {
		canary.Spec.ProgressDeadlineSeconds = ptr.To(int32(o.Deadline.Seconds()))
	}
	if o.Interval > 0 {
		canary.Spec.Analysis.Interval = o.Interval.String()
		for i := range canary.Spec.Analysis.Metrics {
			canary.Spec.Analysis.Metrics[i].Interval = max(o.Interval, 3*time.Second).String() // rate() needs two scrapes
		}
	}
	return yaml.Marshal(canary)
}

var variable = regexp.MustCompile(`\$\{(SLUICE_[A-Z_]+)\}`)

// read reads a sample, fills in the playground's variables, and moves it to the
// chain's namespace.
func (c *Chain) read(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	values := map[string]string{
		"SLUICE_REGISTRY": c.Registry, "SLUICE_GIT_URL": c.GitURL,
		"SLUICE_GIT_USERNAME": c.GitUsername, "SLUICE_GIT_PASSWORD": c.GitPassword,
	}
	data = bytes.ReplaceAll(data, []byte("staging"), []byte(c.Namespace))
	return variable.ReplaceAllFunc(data, func(match []byte) []byte {
		return []byte(values[string(match[2:len(match)-1])])
	}), nil
}

func samples() (string, error) {
	root, err := harness.Root()
	return filepath.Join(root, "config", "samples", "demo"), err
}

// Primary is the Deployment that users trust.
func (c *Chain) Primary(ctx context.Context) (*appsv1.Deployment, error) {
	primary := &appsv1.Deployment{}
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: App + "-primary"}, primary)
	return primary, err
}

// Remove deletes the chain from the cluster and from the Git server. The
// controller has to be running: some kinds are finalized.
func (c *Chain) Remove(ctx context.Context) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: c.Namespace}}
	_, err := harness.Eventually(ctx, "deleting namespace "+c.Namespace, patience, func(ctx context.Context) (bool, string) {
		err := c.Client.Delete(ctx, ns)
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
	return errors.Join(err, os.RemoveAll(c.Repo.Bare))
}
