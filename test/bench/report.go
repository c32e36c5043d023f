// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/sluice-cd/sluice/test/harness"
)

// Flux 2.9's figures for the same work on a 2-core machine (concurrency 20 for
// Kustomizations, 10 for the rest), measured before Sluice had a line of code.
var flux = results{
	small: releaseResult{toCommit: 200 * time.Millisecond, toApplied: 430 * time.Millisecond},
	large: releaseResult{toCommit: 5 * time.Second, toApplied: 8800 * time.Millisecond, cpu: 12900 * time.Millisecond},
	wide:  releaseResult{toCommit: 16 * time.Second}, // the commit alone
	scan: scanResult{
		coldCPU: 6300 * time.Millisecond, unchangedCPU: 2800 * time.Millisecond, askedCPU: 2800 * time.Millisecond,
		memory: harness.Memory{Resident: 172 << 20},
	},
	policy: policyResult{took: 82 * time.Millisecond, bytes: 25 << 20},
	fleet: fleetResult{
		cold: 50 * time.Second, coldCPU: 39 * time.Second, applied: 12 * time.Second, revised: 58 * time.Second,
		pushCPU: 57 * time.Second,
	},
}

// sideBySide is what cannot be measured in each run, since the module of Flux's
// controller is not to be had everywhere: it was run once from its source.
const sideBySide = `
Scans and policies were also measured once beside Flux 2.9.0's image-reflector-controller, unmodified and at concurrency 10:
the same machine, playground, registry and objects, one after the other.

| What | Sluice | Flux 2.9.0 | ratio |
|---|---|---|---|
| 300 image repositories of 1000 tags: CPU of the first scan | 0.97 s | 4.27 s | 0.227 |
| CPU of a scan that finds nothing new, by interval | 0.34 s | 3.40 s | 0.100 |
| CPU of a scan that finds nothing new, asked for | 0.96 s | 5.09 s | 0.189 |
| resident memory (ours: the whole binary) | 130 MiB | 174 MiB | 0.747 |
| of it heap and stacks, the rest being pages of the binary | 30 MiB | 120 MiB | 0.250 |
| policy over 100000 tags, by its own code: time, median of 3 | 11.4 ms | 300 ms | 0.038 |
| the same: allocated | 1 KiB | 68.5 MiB | 0.000 |
`

// write renders the results as a page.
func write(path string, r results, size sizes, at time.Time) error {
	var b strings.Builder
	fmt.Fprintf(&b, `# Benchmarks

Written by `+"`make bench`"+` on %s, on a machine with %d cores (%s), with %s.
Flux's figures are those of Flux 2.9 (concurrency 20 for Kustomizations, 10 for the rest) on another 2-core machine: read
the ratios as an order of magnitude. CPU is that of the controller process alone, user and system. Flux's figure for 100 changed files is
its commit alone, after the clone; its memory for scans is that of the one controller that scans, ours is that of the whole image group.

| What | Sluice | Flux 2.9 | ratio |
|---|---|---|---|
`, at.UTC().Format("2006-01-02"), runtime.NumCPU(), cpuModel(), runtime.Version())
	row := func(what string, ours, theirs time.Duration) {
		ratio, other := "", ""
		if theirs > 0 {
			ratio, other = fmt.Sprintf("%.3f", ours.Seconds()/theirs.Seconds()), seconds(theirs)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", what, seconds(ours), other, ratio)
	}
	release := func(what string, ours, theirs releaseResult) {
		row("push to commit, "+what, ours.toCommit, theirs.toCommit)
		row("commit to applied, "+what, ours.toApplied, theirs.toApplied)
		row("CPU of a release, "+what, ours.cpu, theirs.cpu)
	}
	memory := func(what string, ours, theirs int64) {
		fmt.Fprintf(&b, "| %s | %.1f MiB | %.1f MiB | %.3f |\n", what, mebibytes(ours), mebibytes(theirs), float64(ours)/float64(theirs))
	}
	release("1 file", r.small, flux.small)
	release("1 file, told by a webhook", r.hooked, flux.hooked)
	release(fmt.Sprintf("%d files", size.files), r.large, flux.large)
	release(fmt.Sprintf("%d of %d files changed", size.marked, size.files), r.wide, flux.wide)
	scans := fmt.Sprintf("%d image repositories of %d tags: ", size.repositories, size.tags)
	row(scans+"first scan", r.scan.cold, flux.scan.cold)
	row(scans+"CPU of the first scan", r.scan.coldCPU, flux.scan.coldCPU)
	row(scans+"CPU of a scan that finds nothing new, by interval", r.scan.unchangedCPU, flux.scan.unchangedCPU)
	row(scans+"CPU of a scan that finds nothing new, asked for", r.scan.askedCPU, flux.scan.askedCPU)
	row(scans+"a scan that finds nothing new, asked for", r.scan.asked, flux.scan.asked)
	memory(scans+"resident memory", r.scan.memory.Resident, flux.scan.memory.Resident)
	fmt.Fprintf(&b, "| %sof it heap and stacks, the rest being pages of the binary | %.1f MiB |  |  |\n", scans, mebibytes(r.scan.memory.Own))
	row(fmt.Sprintf("policy over %d tags", policyTags), r.policy.took, flux.policy.took)
	memory(fmt.Sprintf("policy over %d tags: allocated", policyTags), r.policy.bytes, flux.policy.bytes)
	name := fmt.Sprintf("%d Kustomizations of 4 objects: ", size.fleet)
	row(name+"until all are Ready", r.fleet.cold, flux.fleet.cold)
	row(name+"CPU until all are Ready", r.fleet.coldCPU, flux.fleet.coldCPU)
	row(name+"one file changed, until applied", r.fleet.applied, flux.fleet.applied)
	row(name+"one file changed, until all show the revision", r.fleet.revised, flux.fleet.revised)
	row(name+"one file changed, CPU", r.fleet.pushCPU, flux.fleet.pushCPU)
	fmt.Fprintf(&b, "\nReleases are medians of %d. Resident memory after the fleet: %d MiB.\n", size.releases, r.fleet.memory.Resident>>20)
	b.WriteString(sideBySide)
	harmReport(&b, r.harm)
	canaryReport(&b, r)
	judgingReport(&b, r.judged, r.sampled)
	pipelineReport(&b, r)
	fmt.Print(b.String())
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// show prints what can be said of some steps alone.
func show(r results) error {
	var b strings.Builder
	harmReport(&b, r.harm)
	if r.ours.size > 0 && r.theirs.size > 0 && r.resting.size > 0 {
		canaryReport(&b, r)
	}
	if r.judged.looks > 0 {
		judgingReport(&b, r.judged, r.sampled)
	}
	if r.many.size > 0 {
		pipelineReport(&b, r)
	}
	_, err := fmt.Print(b.String())
	return err
}

func seconds(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// cpuModel names the processor as Linux does.
func cpuModel() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
