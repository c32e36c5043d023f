// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// runner runs the test binary of one package.
type runner struct {
	options
	pkg    *pkg
	binary string
	dir    string // for files of the tests
	tests  []*test
}

// test is a test (or the seeds of a fuzz test, or an example) of the package.
type test struct {
	name    string
	took    time.Duration
	reaches map[int]bool // the mutants
}

// trace runs each test by itself without a mutant. One that fails or is skipped kills nothing.
func (r *runner) trace(ctx context.Context) error {
	out, err := r.output(ctx, nil, "-test.list", "^(Test|Fuzz|Example)")
	if err != nil {
		return fmt.Errorf("listing tests: %w: %s", err, shorten(out))
	}
	for line := range strings.Lines(string(out)) {
		r.tests = append(r.tests, &test{name: strings.TrimSpace(line)})
	}
	failed := make([]error, len(r.tests))
	progress := r.report("tracing tests", len(r.tests))
	r.each(len(r.tests), func(i int) {
		failed[i] = r.traceOne(ctx, r.tests[i], i)
		progress("")
	})
	for _, err := range failed {
		if err != nil {
			fmt.Fprintf(r.progress, "left out: %v\n", err)
		}
	}
	r.tests = slices.DeleteFunc(r.tests, func(t *test) bool { return t.reaches == nil })
	slices.SortStableFunc(r.tests, func(a, b *test) int { return int(a.took - b.took) })
	return ctx.Err()
}

func (r *runner) traceOne(ctx context.Context, t *test, number int) error {
	trace := filepath.Join(r.dir, "trace-"+strconv.Itoa(number))
	began := time.Now()
	if f, out := r.run(ctx, []*test{t}, 10*time.Minute, "MUTATE_TRACE="+trace); f != survived {
		return fmt.Errorf("%s of %s fails without a mutant: %s", t.name, r.pkg.path, shorten(out))
	}
	t.took = time.Since(began)
	file, err := os.Open(trace)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it reaches nothing
	} else if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	t.reaches = map[int]bool{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		id, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		t.reaches[id] = true
	}
	return nil
}

// try runs each mutant with the tests that reach it.
func (r *runner) try(ctx context.Context, mutants []*mutant) error {
	progress := r.report("trying mutants", len(mutants))
	r.each(len(mutants), func(i int) {
		mutants[i].Outcome = r.tryOne(ctx, mutants[i])
		progress(mutants[i].Outcome)
	})
	return ctx.Err()
}

// tryOne runs fast tests first: most mutants need no others.
func (r *runner) tryOne(ctx context.Context, m *mutant) outcome {
	result := uncovered
	var batch []*test
	var takes time.Duration
	budget := time.Second
	try := func() outcome {
		f, _ := r.run(ctx, batch, r.patience+10*takes, "MUTATE_ACTIVE="+strconv.Itoa(m.ID))
		batch, takes, budget = nil, 0, 8*budget
		return f
	}
	for _, t := range r.tests {
		if !t.reaches[m.ID] {
			continue
		}
		if len(batch) > 0 && takes+t.took > budget {
			if result = try(); result != survived {
				return result
			}
		}
		batch = append(batch, t)
		takes += t.took
	}
	if len(batch) > 0 {
		result = try()
	}
	return result
}

// run runs tests, and returns survived if they pass.
func (r *runner) run(ctx context.Context, tests []*test, limit time.Duration, env string) (outcome, []byte) {
	names := make([]string, len(tests))
	for i, t := range tests {
		names[i] = regexp.QuoteMeta(t.name)
	}
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	temp, err := os.MkdirTemp(r.dir, "run-")
	if err != nil {
		return invalid, []byte(err.Error())
	}
	defer func() { _ = os.RemoveAll(temp) }()
	out, err := r.output(timed, []string{env, "TMPDIR=" + temp}, "-test.failfast", "-test.run", "^("+strings.Join(names, "|")+")$",
		"-test.timeout", (2 * limit).String()) // for a process that outlives this one
	switch {
	case timed.Err() != nil:
		return timedOut, out
	case err != nil:
		return killed, out
	}
	return survived, nil
}

// maxOutput is how much of what a test prints is kept; the rest is thrown away.
const maxOutput = 1 << 20

// output runs the test binary, and returns the beginning of what it prints. It has a process
// group of its own, which ends with it: a test that fails leaves the programs that it started.
func (r *runner) output(ctx context.Context, env []string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, r.binary, args...)
	c.Dir = r.pkg.dir
	c.Env = append(os.Environ(), env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	end := func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.Cancel = end
	// With a buffer in place of a pipe of our own, Wait would wait for whoever has it open.
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = read.Close() }()
	c.Stdout, c.Stderr = write, write
	err = c.Start()
	_ = write.Close()
	if err != nil {
		return nil, err
	}
	printed := make(chan []byte, 1)
	go func() {
		out, _ := io.ReadAll(io.LimitReader(read, maxOutput))
		printed <- out
		_, _ = io.Copy(io.Discard, read)
	}()
	err = c.Wait()
	_ = end()
	_ = read.SetReadDeadline(time.Now().Add(time.Second)) // who left the group may have it open still
	return <-printed, err
}

// each calls do for 0 to n-1, r.parallel at a time.
func (r *runner) each(n int, do func(int)) {
	var workers sync.WaitGroup
	next := make(chan int)
	for range r.parallel {
		workers.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
}

// report returns a function to call when one of n is done; it prints a line every ten seconds.
func (r *runner) report(what string, n int) func(outcome) {
	var mu sync.Mutex
	counts := map[outcome]int{}
	done, said := 0, time.Now()
	return func(f outcome) {
		mu.Lock()
		defer mu.Unlock()
		done++
		counts[f]++
		if done < n && time.Since(said) < 10*time.Second {
			return
		}
		said = time.Now()
		fmt.Fprintf(r.progress, "%s: %s: %d of %d", r.pkg.path, what, done, n)
		for _, f := range []outcome{killed, timedOut, survived, uncovered} {
			if counts[f] > 0 {
				fmt.Fprintf(r.progress, ", %d %s", counts[f], f)
			}
		}
		fmt.Fprintln(r.progress)
	}
}

// sample chooses n of the mutants that compile, always the same for a seed, in the order of the source.
func sample(mutants []*mutant, n int, seed int64) []*mutant {
	chosen := slices.DeleteFunc(slices.Clone(mutants), func(m *mutant) bool { return m.Outcome == invalid })
	if n <= 0 || n >= len(chosen) {
		return chosen
	}
	random := rand.New(rand.NewSource(seed)) // the same everywhere, which is the point
	random.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
	chosen = chosen[:n]
	slices.SortFunc(chosen, func(a, b *mutant) int { return a.ID - b.ID })
	return chosen
}
