// SPDX-License-Identifier: Apache-2.0

// Package logs prints what the controllers have logged about objects, out of the lines in
// JSON that their pods have written:
//
//	Deployments of part-of=flux --> pods --> lines --> those about some objects
package logs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
)

// The labels that an installation has, as Flux's own, and the container of a controller.
const (
	installation = "app.kubernetes.io/part-of=flux"
	container    = "manager"
)

// maxLine is how long a line of a log may be, in bytes.
const maxLine = 1 << 20

// levels are those of --level, as in the lines.
var levels = []string{"debug", "info", "error"}

// reader is `sluice logs`.
type reader struct {
	cluster   *cluster.Cluster
	filter    filter
	namespace string // namespace of the controllers
	all       bool
	follow    bool
	raw       bool
	tail      int64
	since     time.Duration
	from      string // a time
}

// Command is `sluice logs` of a program of the given version.
func Command(version string) *cobra.Command {
	r := &reader{}
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Print what the controllers have logged about objects",
		Long: `Print what the controllers have logged about objects: of all their pods, the one that
leads and those that stand by. Without -A they are objects of one namespace. --tail and
--since are of what pods wrote, before lines about other objects are left out.`,
		Example: `  sluice logs --kind Kustomization --name podinfo -n apps --since 10m
  sluice logs -A --level error --follow`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd) },
	}
	r.cluster = cluster.AddFlags(cmd, version)
	set := cmd.Flags()
	set.StringVar(&r.filter.kind, "kind", "", "kind of the objects, such as Kustomization")
	set.StringVar(&r.filter.name, "name", "", "name of the objects")
	set.StringVar(&r.filter.level, "level", "", "level of the lines: "+strings.Join(levels, ", ")+"; default: all")
	set.BoolVarP(&r.all, "all-namespaces", "A", false, "print lines about objects of all namespaces, and those about none")
	set.BoolVarP(&r.follow, "follow", "f", false, "go on with what is logged from now on")
	set.Int64Var(&r.tail, "tail", -1, "read only so many of the last lines of each pod; -1 is all")
	set.DurationVar(&r.since, "since", 0, "read only what is younger, such as 10m; 0 is all")
	set.StringVar(&r.from, "since-time", "", "read only what was written after a time, as in RFC 3339")
	set.StringVar(&r.namespace, "flux-namespace", "flux-system", "namespace of the controllers")
	set.BoolVar(&r.raw, "json", false, "print the lines as they are, in JSON")
	_ = cmd.RegisterFlagCompletionFunc("level", cobra.FixedCompletions(levels, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	return cmd
}

func (r *reader) run(cmd *cobra.Command) error {
	options, err := r.options()
	if err != nil {
		return err
	}
	if !r.all {
		if r.filter.namespace, err = r.cluster.Namespace(); err != nil {
			return err
		}
	}
	config, err := r.cluster.Config()
	if err != nil {
		return err
	}
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	return r.print(cmd, c, options)
}

// print prints the lines of all pods: one pod after the other, or all at once if they are
// followed.
func (r *reader) print(cmd *cobra.Command, c kubernetes.Interface, options corev1.PodLogOptions) error {
	pods, err := r.pods(cmd.Context(), c)
	if err != nil {
		return err
	}
	out := &printer{out: cmd.OutOrStdout(), raw: r.raw, filter: r.filter}
	group, ctx := errgroup.WithContext(cmd.Context())
	if !r.follow {
		group.SetLimit(1)
	}
	for _, pod := range pods {
		of := options
		if len(pod.Spec.Containers) > 1 {
			of.Container = container
		}
		group.Go(func() error {
			stream, err := c.CoreV1().Pods(r.namespace).GetLogs(pod.Name, &of).Stream(ctx)
			if err == nil {
				err = errors.Join(out.copy(stream), stream.Close())
			}
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("reading the log of pod %s/%s: %w", r.namespace, pod.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// options say which lines are read.
func (r *reader) options() (corev1.PodLogOptions, error) {
	options := corev1.PodLogOptions{Follow: r.follow}
	if err := r.filter.validate(); err != nil {
		return options, err
	}
	if r.tail >= 0 {
		options.TailLines = &r.tail
	}
	switch {
	case r.since < 0:
		return options, errors.New("--since: it is how long ago, such as 10m")
	case r.since > 0 && r.from != "":
		return options, errors.New("--since and --since-time say the same: leave out one of them")
	case r.since > 0:
		seconds := int64((r.since + time.Second - 1) / time.Second)
		options.SinceSeconds = &seconds
	case r.from != "":
		at, err := time.Parse(time.RFC3339, r.from)
		if err != nil {
			return options, fmt.Errorf("--since-time: %w", err)
		}
		options.SinceTime = &metav1.Time{Time: at}
	}
	return options, nil
}

// pods are those of the controllers.
func (r *reader) pods(ctx context.Context, c kubernetes.Interface) ([]corev1.Pod, error) {
	deployments, err := c.AppsV1().Deployments(r.namespace).List(ctx, metav1.ListOptions{LabelSelector: installation})
	if err != nil {
		return nil, fmt.Errorf("listing the Deployments of namespace %s: %w", r.namespace, err)
	}
	var pods []corev1.Pod
	for _, d := range deployments.Items {
		found, err := c.CoreV1().Pods(r.namespace).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(d.Spec.Selector)})
		if err != nil {
			return nil, fmt.Errorf("listing the pods of Deployment %s/%s: %w", r.namespace, d.Name, err)
		}
		pods = append(pods, found.Items...)
	}
	if len(pods) == 0 {
		return nil, fmt.Errorf("namespace %s has no pods of Deployments with the label %s: name that of the controllers with --flux-namespace",
			r.namespace, installation)
	}
	return pods, nil
}

// entry is what of a line is read.
type entry struct {
	Time      string `json:"ts"`
	Level     string `json:"level"`
	Message   string `json:"msg"`
	Error     string `json:"error"`
	Kind      string `json:"controllerKind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// String is the line as people read it.
func (e entry) String() string {
	about := e.Kind
	if e.Name != "" {
		about += "/" + e.Name + "." + e.Namespace
	}
	return strings.TrimRight(strings.Join([]string{e.Time, e.Level, about, "-", e.Message, e.Error}, " "), " ")
}

// filter says which lines are printed. An empty field is any.
type filter struct{ kind, namespace, name, level string }

func (f filter) validate() error {
	for _, known := range levels {
		if f.level == "" || f.level == known {
			return nil
		}
	}
	return fmt.Errorf("--level: unknown %q; known: %s", f.level, strings.Join(levels, ", "))
}

func (f filter) wants(e entry) bool {
	return (f.kind == "" || strings.EqualFold(f.kind, e.Kind)) && (f.namespace == "" || f.namespace == e.Namespace) &&
		(f.name == "" || f.name == e.Name) && (f.level == "" || f.level == e.Level)
}

// printer prints the lines of several pods.
type printer struct {
	filter filter
	raw    bool

	mu  sync.Mutex
	out io.Writer
}

// copy prints the lines of one pod that are wanted. What is no object of JSON is passed over.
func (p *printer) copy(log io.Reader) error {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var e entry
		if json.Unmarshal(lines.Bytes(), &e) != nil || !p.filter.wants(e) {
			continue
		}
		text := lines.Text()
		if !p.raw {
			text = output.Clean(e.String())
		}
		if err := p.line(text); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (p *printer) line(text string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := fmt.Fprintln(p.out, text)
	return err
}
