// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sluice-cd/sluice/apply/remoteref"
	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/tree"
)

// TestMain lets this program be the process that a Builder starts.
func TestMain(m *testing.M) {
	if os.Getenv(ServeVariable) != "" {
		if err := Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func isolating(t *testing.T) *Builder {
	t.Helper()
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &Builder{Command: []string{own}}
}

// fetchesFile has one file.
func fetchesFile(address string) ([]byte, error) {
	if address == "https://example.com/cm.yaml" {
		return []byte(configMap("cm")), nil
	}
	return nil, ErrNoFile
}

// fetchesRepository has one repository, with two kustomizations.
func fetchesRepository(t *testing.T) FetchRepository {
	return func(of remoteref.Repository) (tree.Tree, error) {
		if of.URL != "https://example.com/org/repo" {
			return nil, errors.New("there is no other one")
		}
		return treeOf(t, map[string]string{
			"base/kustomization.yaml": "resources: [d.yaml, ../lib]", "base/d.yaml": deployment,
			"lib/kustomization.yaml": "configMapGenerator: [{name: g, files: [f.txt]}]", "lib/f.txt": "a",
		}), nil
	}
}

var owner = types.NamespacedName{Namespace: "apps", Name: "app"}

func TestAProcessBuildsTheSame(t *testing.T) {
	b := isolating(t)
	for name, tc := range map[string]struct {
		files map[string]string
		spec  Spec
		fails error
	}{
		"replacements": {files: map[string]string{
			"kustomization.yaml": "resources: [base, link.yaml]\nreplacements: [{path: r.yaml}]\n" +
				"configMapGenerator: [{name: g, files: [f.txt]}]", "f.txt": "a",
			"base/kustomization.yaml": "resources: [d.yaml]", "base/d.yaml": deployment,
			"link.yaml": "-> cm.yaml", "cm.yaml": configMap("cm", "k: ${v}"),
			"r.yaml": "source: {kind: ConfigMap, name: cm, fieldPath: metadata.name}\n" +
				"targets: [{select: {kind: Deployment}, fieldPaths: ['metadata.annotations.found'], options: {create: true}}]",
		}, spec: Spec{NamePrefix: "p-", Substitution: &Substitution{Values: map[string]string{"v": "1"}}}},
		"its own schema": {files: map[string]string{
			"kustomization.yaml": "openapi: {path: s.json}\nresources: [t.yaml]\npatches: [{path: p.yaml}]", "s.json": ownSchema,
			"t.yaml": "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\nspec: {items: [{name: a}]}\n",
			"p.yaml": "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\nspec: {items: [{name: b}]}\n",
		}},
		"what was fetched": {files: map[string]string{
			"kustomization.yaml": "resources: ['https://example.com/org/repo//base', 'https://example.com/cm.yaml']\nreplacements: [{path: r.yaml}]",
			"r.yaml": "source: {kind: ConfigMap, name: cm, fieldPath: metadata.name}\n" +
				"targets: [{select: {kind: Deployment}, fieldPaths: ['metadata.annotations.found'], options: {create: true}}]",
		}, spec: Spec{FetchFile: fetchesFile, FetchRepository: fetchesRepository(t)}},
		"what cannot be fetched": {
			files: map[string]string{"kustomization.yaml": "resources: ['https://example.com/none.yaml']\nvars: []\ncrds: []\ngenerators: []"},
			spec:  Spec{FetchFile: fetchesFile, FetchRepository: fetchesRepository(t)}, fails: ErrFetch,
		},
		"an encrypted value": {
			files: map[string]string{"kustomization.yaml": "generators: [g.yaml]", "g.yaml": plugin("SecretGenerator", "literals: ['k="+enc+"']")},
			fails: ErrEncrypted,
		},
		"a missing variable": {files: map[string]string{
			"kustomization.yaml": "resources: [a.yaml]\nvars: []\nconfigurations: [c.yaml]",
			"c.yaml":             "",
			"a.yaml":             configMap("a", "k: ${v}"),
		},
			spec: Spec{Substitution: &Substitution{Always: true}}, fails: ErrVariable},
	} {
		t.Run(name, func(t *testing.T) {
			source := treeOf(t, tc.files)
			want, err := Build(source, tc.spec)
			if !errors.Is(err, tc.fails) {
				t.Fatal(err)
			}
			got, gotErr := b.Build(t.Context(), owner, source, tc.spec)
			if tc.fails != nil {
				if !errors.Is(gotErr, tc.fails) || gotErr.Error() != err.Error() {
					t.Errorf("got %v, want %v", gotErr, err)
				}
				return
			}
			if gotErr != nil {
				t.Fatal(gotErr)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-here +there)\n%s", diff)
			}
		})
	}
	if b.processes.idle == nil {
		t.Error("no process waits for the next build")
	}
}

// What measuring cannot foresee ends a process, not everybody's.
func TestWhatCannotBeMeasuredEndsAProcess(t *testing.T) {
	doubling := "resources: [cm.yaml]\nreplacements:\n" + strings.Repeat(
		"- {source: {kind: ConfigMap, fieldPath: data.k}, targets: [{select: {kind: ConfigMap}, fieldPaths: "+
			"[data.k], options: {delimiter: '-', index: 99999999}}]}\n", 45)
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"a value that doubles with every replacement": {
			map[string]string{"kustomization.yaml": doubling, "cm.yaml": configMap("cm", "k: "+strings.Repeat("x", 1000))},
			"MiB of memory",
		},
		"a definition that refers to itself": {map[string]string{
			"kustomization.yaml": "resources: [cm.yaml]\ncrds: [crd.json]", "cm.yaml": configMap("cm"),
			"crd.json": `{"a": {"Schema": {"properties": {"kind": {}, "apiVersion": {}, "metadata": {}, "x": {"$ref": "a"}}}}}`,
		}, "than"},
		"a patch that copies the object into itself": {map[string]string{
			"kustomization.yaml": "resources: [a.yaml]\npatches: [{target: {kind: ConfigMap}, path: p.yaml}]",
			"a.yaml":             configMap("a") + "---\n" + configMap("b"), "p.yaml": copying(14),
		}, "MiB of memory"},
	} {
		t.Run(name, func(t *testing.T) {
			b := isolating(t)
			b.Memory = budget.New(1 << 30)
			_, err := b.Build(t.Context(), owner, treeOf(t, tc.files), Spec{})
			if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
			plain := treeOf(t, map[string]string{
				"kustomization.yaml": "resources: [cm.yaml]\nconfigurations: [c.yaml]",
				"c.yaml":             "",
				"cm.yaml":            configMap("cm"),
			})
			if _, err := b.Build(t.Context(), owner, plain, Spec{}); err != nil {
				t.Errorf("the next build: %v", err)
			}
		})
	}
}

// copying is a JSON patch that doubles an object's metadata with each operation.
func copying(times int) string {
	var b strings.Builder
	for i := range times {
		fmt.Fprintf(&b, "- {op: copy, from: /metadata, path: /metadata/x%d}\n", i)
	}
	return b.String()
}

// What can take more memory or time than was measured is built where it can be ended.
func TestWhatIsBuiltInAProcess(t *testing.T) {
	many, images := strings.Builder{}, strings.Builder{}
	for i := range 200 {
		many.WriteString("---\n" + configMap(fmt.Sprint("c", i)))
	}
	for i := range 4000 {
		fmt.Fprintf(&images, "- {name: i%d, newTag: a}\n", i)
	}
	patch := func(target, operation string) map[string]string {
		return map[string]string{
			"kustomization.yaml": "resources: [a.yaml]\npatches:\n- target: " + target + "\n  patch: |\n    " + operation, "a.yaml": many.String(),
		}
	}
	const replicas = `{patch: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {replicas: 3}"`
	merge := "resources: [a.yaml]\npatches: [" + replicas + "}]"
	everywhere := "resources: [a.yaml]\npatches: [" + strings.Repeat(replicas+", target: {kind: Deployment}}, ", 4) + "]"
	containers := func(n int) string {
		text := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  template:\n    spec:\n      containers:\n"
		for i := range n {
			text += fmt.Sprintf("      - {name: c%d, image: a}\n", i)
		}
		return text
	}
	for name, tc := range map[string]struct {
		files map[string]string
		want  bool
	}{
		"a patch that adds":             {patch("{kind: ConfigMap}", "[{op: add, path: /data/k, value: {op: copy}}]"), false},
		"a merge patch":                 {patch("{kind: ConfigMap}", "data: {op: copy}"), false},
		"a patch that copies":           {patch("{kind: ConfigMap}", "[{op: copy, from: /data, path: /data/k}]"), true},
		"one that says so in JSON":      {patch("{kind: ConfigMap}", `[{"op": "c\u006fpy", "from": "/data", "path": "/data/k"}]`), true},
		"one that says so in base64":    {patch("{kind: ConfigMap}", "[{op: !!binary Y29weQ==, from: /data, path: /data/k}]"), true},
		"one whose field is in base64":  {patch("{kind: ConfigMap}", "[{!!binary b3A=: copy, from: /data, path: /data/k}]"), true},
		"one that says so by an alias":  {patch("{kind: ConfigMap}", "[{path: &c copy, op: *c, from: /data}]"), true},
		"one that merges it in":         {patch("{kind: ConfigMap}", "[{<<: {op: copy}, from: /data, path: /data/k}]"), true},
		"a small patch of one name":     {patch("{name: c1}", "[{op: add, path: /data/k, value: a}]"), false},
		"a large patch of what has one": {patch("{name: c1}", "[{op: add, path: /data/k, value: "+strings.Repeat("x", 100_000)+"}]"), true},
		"hundreds of objects":           {map[string]string{"a.yaml": many.String()}, false},
		"thousands of images of all": {
			map[string]string{"kustomization.yaml": "resources: [a.yaml]\nimages:\n" + images.String(), "a.yaml": many.String()},
			true,
		},
		"a few images of all": {
			map[string]string{"kustomization.yaml": "resources: [a.yaml]\nimages: [{name: a, newTag: b}]", "a.yaml": many.String()},
			false,
		},
		"a large expression for an image": {
			map[string]string{"kustomization.yaml": "resources: [a.yaml]\nimages: [{name: '(x?){1000}', newTag: b}]", "a.yaml": many.String()},
			true,
		},
		"a large expression for a name":      {patch("{name: '(c?){1000}'}", "[{op: add, path: /data/k, value: a}]"), true},
		"a large expression for a namespace": {patch("{kind: ConfigMap, namespace: '(c?){1000}'}", "[{op: add, path: /data/k, value: a}]"), true},
		"a long expression":                  {patch("{name: "+strings.Repeat("c1|", 2000)+"c1}", "[{op: add, path: /data/k, value: a}]"), true},
		"an expression of some names":        {patch("{name: c1|c2|c.*}", "[{op: add, path: /data/k, value: a}]"), false},
		"a patch of a long list":             {map[string]string{"kustomization.yaml": merge, "a.yaml": containers(2000)}, true},
		"a patch of a short list":            {map[string]string{"kustomization.yaml": merge, "a.yaml": containers(100)}, false},
		"a long list":                        {map[string]string{"kustomization.yaml": "resources: [a.yaml]", "a.yaml": containers(2000)}, false},
		"a long list by aliases": {
			map[string]string{
				"kustomization.yaml": merge,
				"a.yaml":             containers(1) + "      - &c {name: c, image: a}\n" + strings.Repeat("      - *c\n", 2000),
			},
			true,
		},
		"patches of all that have short lists": {
			map[string]string{"kustomization.yaml": everywhere, "a.yaml": strings.Repeat("---\n"+containers(100), 60)},
			true,
		},
		"thousands of names in one of many": {
			map[string]string{"a.yaml": many.String() + "x: [" + strings.Repeat("{configMapRef: {name: a}}, ", 20_000) + "]\n"},
			true,
		},
	} {
		j := newJob(t.Context(), treeOf(t, tc.files), Spec{}, Bounds{}, unboundedMemory{})
		if err := j.prepare(); err != nil || j.isolated != tc.want {
			t.Errorf("%s: isolated %v, err %v", name, j.isolated, err)
		}
	}
}

func TestWhyAProcessEnded(t *testing.T) {
	trace := strings.Repeat("goroutine 1 [running]:\n", 2000)
	for stderr, want := range map[string]string{
		"# Warning: deprecated\n" + trace + "fatal error: runtime: out of memory\n" + trace:                      "MiB of memory",
		trace + "runtime/cgo: pthread_create failed: Resource temporarily unavailable\nSIGABRT: abort\n" + trace: "MiB of memory",
		"runtime: failed to create new OS thread (have 5 already; errno=11)\nfatal error: newosproc\n" + trace:   "MiB of memory",
		"":                                      "MiB of memory",
		"# Warning: deprecated\n":               "MiB of memory",
		"panic: index out of range\n\n" + trace: "panic: index out of range",
		"# Warning: panic: x\nsluice: EOF\n":    "EOF: sluice: EOF",
		"fatal error: stack overflow\n" + trace: "of stack",
		"fatal error: all goroutines are asleep\n" + trace: "fatal error: all goroutines",
	} {
		p := &process{stderr: &stderrLog{}}
		for data := []byte(stderr); len(data) > 0; data = data[min(len(data), 1000):] {
			_, _ = p.stderr.Write(data[:min(len(data), 1000)])
		}
		if err := p.explain(&job{}, errors.New("EOF"), 1<<20); !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: got %v", stderr, err)
		}
	}
}

func TestWhatAProcessWroteBeforeItCrashedIsMasked(t *testing.T) {
	const secret = "correct-horse-battery-staple"
	j := &job{spec: Spec{Substitution: &Substitution{Secret: []string{secret}}}}
	for name, tc := range map[string]struct{ stderr, want string }{
		"a panic about a value":                 {"panic: cannot use " + secret + " here\n\ngoroutine 1:\n", "panic: cannot use *** here"},
		"a secret where a long text is cut off": {"panic: " + strings.Repeat("x", 480) + secret + "\n", strings.Repeat("x", 480) + "***"},
		"a warning about a job before":          {"# Warning: theirs-was-another\nfatal error: all asleep\n", "EOF: fatal error: all asleep"},
	} {
		p := &process{stderr: &stderrLog{}}
		_, _ = p.stderr.Write([]byte(tc.stderr))
		got := p.explain(j, errors.New("EOF"), 1<<20).Error()
		if !strings.HasSuffix(got, tc.want) || strings.Contains(got, "horse") || strings.Contains(got, "theirs") {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
	var err error
	func() {
		defer j.recovered(&err)
		panic(strings.Repeat("x", 480) + secret)
	}()
	if err == nil || !strings.HasSuffix(err.Error(), "***") {
		t.Errorf("a panic in this process: got %v", err)
	}
}

// slow is a tree whose files never come.
type slow struct {
	tree.Tree
	until <-chan struct{}
}

func (s slow) ReadFile(name string) ([]byte, error) {
	if strings.HasSuffix(name, "slow.yaml") {
		<-s.until
	}
	return s.Tree.ReadFile(name)
}

func TestABuildHasADeadline(t *testing.T) {
	until := make(chan struct{})
	hanging := slow{
		treeOf(t, map[string]string{
			"kustomization.yaml": "resources: [slow.yaml, b.yaml]",
			"slow.yaml":          configMap("a"),
			"b.yaml":             configMap("b"),
		}),
		until,
	}
	b := &Builder{Timeout: 50 * time.Millisecond}
	if _, err := b.Build(t.Context(), owner, hanging, Spec{}); !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "50ms") {
		t.Errorf("got %v", err)
	}
	if _, err := b.Build(t.Context(), owner, hanging, Spec{}); !errors.Is(err, ErrUnfinished) {
		t.Errorf("a second one beside it: got %v", err)
	}
	b.Timeout = 0
	plain := treeOf(t, map[string]string{"a.yaml": configMap("a")})
	own := treeOf(t, map[string]string{
		"kustomization.yaml": "openapi: {path: s.json}\nresources: [a.yaml]",
		"s.json":             ownSchema,
		"a.yaml":             configMap("a"),
	})
	for name, source := range map[string]tree.Tree{"plain": plain, "with its own schema": own} {
		other := types.NamespacedName{Namespace: "others", Name: name}
		if _, err := b.Build(t.Context(), other, source, Spec{}); err != nil {
			t.Errorf("a build beside it, %s: %v", name, err)
		}
	}
	close(until)
	<-last(b).done
	if _, err := b.Build(t.Context(), owner, hanging, Spec{}); err != nil {
		t.Errorf("after it has ended: %v", err)
	}
}

// last is the build that the owner has abandoned.
func last(b *Builder) abandonedBuild {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.abandoned[owner]
}

// observed says when a slow file is read.
type observed struct {
	slow
	read func()
}

func (r observed) ReadFile(name string) ([]byte, error) {
	if strings.HasSuffix(name, "slow.yaml") {
		r.read()
	}
	return r.slow.ReadFile(name)
}

// A commit that came while the one before was built was not built for ten minutes: "the last
// build, which took too long, has not ended yet", and a pipeline took that for its fault.
func TestABuildWaitsForOneThatIsNotWantedAnyMore(t *testing.T) {
	until := make(chan struct{})
	files := map[string]string{"kustomization.yaml": "resources: [slow.yaml]", "slow.yaml": configMap("a")}
	b := &Builder{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := b.Build(ctx, owner, observed{slow{treeOf(t, files), until}, cancel}, Spec{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("a build that is not wanted: %v", err)
	}
	hurried, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := b.Build(hurried, owner, treeOf(t, files), Spec{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one that waits beside it: %v", err)
	}
	ended := make(chan error)
	go func() {
		_, err := b.Build(t.Context(), owner, treeOf(t, files), Spec{})
		ended <- err
	}()
	select {
	case err := <-ended:
		t.Errorf("it did not wait: %v", err)
	case <-time.After(10 * time.Millisecond):
	}
	close(until)
	if err := <-ended; err != nil {
		t.Errorf("after that has ended: %v", err)
	}
}

// A build that waits in kustomize holds nothing that one with a schema needs.
func TestAProcessIsEndedAtTheDeadline(t *testing.T) {
	until := make(chan struct{})
	defer close(until)
	b := isolating(t)
	b.Timeout = 500 * time.Millisecond
	count := 0
	hanging := counting{
		slow{
			treeOf(t, map[string]string{
				"kustomization.yaml": "resources: [slow.yaml]\nconfigurations: [c.yaml]",
				"c.yaml":             "",
				"slow.yaml":          configMap("a"),
			}),
			until,
		},
		&count,
	}
	if _, err := b.Build(t.Context(), owner, hanging, Spec{}); !errors.Is(err, ErrTimeout) {
		t.Errorf("got %v", err)
	}
}

// counting hangs when a file is read for the second time, which is by the process.
type counting struct {
	slow
	count *int
}

func (c counting) ReadFile(name string) ([]byte, error) {
	if strings.HasSuffix(name, "slow.yaml") {
		if *c.count++; *c.count == 1 {
			return c.Tree.ReadFile(name)
		}
	}
	return c.slow.ReadFile(name)
}

// A file that took more to look at than others of the namespace left was an error, and was
// tried again with backoff, beside others who came later and were served.
func TestABuildWaitsForTheMemoryToLookAtItsFiles(t *testing.T) {
	b := &Builder{Memory: budget.New(256 << 20)}
	large := treeOf(t, map[string]string{"a.yaml": configMap("a") + "x:\n" + strings.Repeat("- a\n", 100_000)})
	held, err := b.Memory.Acquire(t.Context(), owner.Namespace, 120<<20)
	if err != nil {
		t.Fatal(err)
	}
	built := make(chan error, 1)
	go func() {
		_, err := b.Build(t.Context(), owner, large, Spec{})
		built <- err
	}()
	awaitWaiting(t, b, built)
	held.Release()
	if err := <-built; err != nil {
		t.Errorf("when there is memory again: %v", err)
	}
}

// awaitWaiting returns when a build waits for memory, which ends with an error or nil on built.
func awaitWaiting(t *testing.T, b *Builder, built <-chan error) {
	t.Helper()
	waiting := b.Memory.Collectors()[2]
	for testutil.ToFloat64(waiting) == 0 {
		select {
		case err := <-built:
			t.Fatalf("built while the memory was in use: %v", err)
		default:
			runtime.Gosched()
		}
	}
}

// A build held memory while what it fetched waited for some of the same share, until the time was over.
func TestABuildDoesNotWaitForItselfWithWhatItFetches(t *testing.T) {
	b := &Builder{Memory: budget.New(256 << 20)}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	whole := func() (*budget.Grant, error) {
		return b.Memory.Acquire(ctx, owner.Namespace, b.Memory.NamespaceLimit())
	}
	repository := fetchesRepository(t)
	spec := Spec{
		FetchFile: func(address string) ([]byte, error) {
			held, err := whole()
			if err != nil {
				return nil, err
			}
			defer held.Release()
			return fetchesFile(address)
		},
		FetchRepository: func(of remoteref.Repository) (tree.Tree, error) {
			held, err := whole()
			if err != nil {
				return nil, err
			}
			defer held.Release()
			return repository(of)
		},
	}
	source := treeOf(t, map[string]string{
		"kustomization.yaml": "resources: [own.yaml, 'https://example.com/org/repo//base', 'https://example.com/cm.yaml']",
		"own.yaml":           configMap("own"),
	})
	result, err := b.Build(ctx, owner, source, spec)
	if err != nil || len(result.Objects) != 4 {
		t.Errorf("built %+v, %v", result, err)
	}
}

// What a build gave back for a fetch others may have taken meanwhile.
func TestABuildThatLostItsMemoryToAFetchStartsAnew(t *testing.T) {
	b := &Builder{Memory: budget.New(256 << 20)}
	fetched, taken := 0, make(chan *budget.Grant, 1)
	source := treeOf(t, map[string]string{"kustomization.yaml": "resources: ['https://example.com/cm.yaml']"})
	built := make(chan error, 1)
	go func() {
		_, err := b.Build(t.Context(), owner, source, Spec{
			FetchFile: func(address string) ([]byte, error) {
				if fetched++; fetched == 1 {
					held, err := b.Memory.TryAcquire(owner.Namespace, b.Memory.NamespaceLimit())
					if err != nil {
						t.Error(err)
					}
					taken <- held
				}
				return fetchesFile(address)
			},
			FetchRepository: fetchesRepository(t),
		})
		built <- err
	}()
	held := <-taken
	awaitWaiting(t, b, built)
	held.Release()
	if err := <-built; err != nil || fetched != 2 {
		t.Errorf("fetched %d times, %v", fetched, err)
	}
}

func TestBuildsShareMemory(t *testing.T) {
	b := &Builder{Memory: budget.New(64 << 20)}
	large := treeOf(t, map[string]string{"a.yaml": configMap("a") + "x:\n" + strings.Repeat("- a\n", 100_000)})
	if _, err := b.Build(t.Context(), owner, large, Spec{}); !errors.Is(err, ErrTooLarge) || !errors.Is(err, budget.ErrTooLarge) {
		t.Errorf("more than a namespace's share: got %v", err)
	}
	held, err := b.Memory.Acquire(t.Context(), owner.Namespace, 30<<20)
	if err != nil {
		t.Fatal(err)
	}
	small := treeOf(t, map[string]string{"a.yaml": configMap("a")})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.Build(ctx, owner, small, Spec{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while the share is in use: got %v", err)
	}
	if _, err := b.Build(t.Context(), types.NamespacedName{Namespace: "others"}, small, Spec{}); err != nil {
		t.Errorf("in another namespace: %v", err)
	}
	held.Release()
	if _, err := b.Build(t.Context(), owner, small, Spec{}); err != nil {
		t.Errorf("when it is free again: %v", err)
	}
}
