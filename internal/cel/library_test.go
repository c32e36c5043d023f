// SPDX-License-Identifier: Apache-2.0

package cel

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
)

// BenchmarkOneCall evaluates expressions whose work is in a single call, with the limits of this
// package and with cel-go's own limit of costs, which counts a call after it was made, and a
// comparison by the length of its lists. It is a million here, as it is for Kubernetes' policies.
func BenchmarkOneCall(b *testing.B) {
	data := map[string]any{"req": map[string]any{"s": strings.Repeat("a", 8<<10), "l": make([]any, 500)}}
	for name, text := range map[string]string{
		"replace": `req.s.replace("a", req.s) == "b"`, // 64 MB, of a text of 8 kB
		"compare": tenfold(wideList) + " == " + tenfold(wideList),
	} {
		ours, err := CompileCondition(text, "req")
		if err != nil {
			b.Fatal(err)
		}
		env, checked, err := check(text, []string{"req"})
		if err != nil {
			b.Fatal(err)
		}
		program, err := env.Program(checked, cel.CostLimit(1_000_000))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/ours", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ours.Evaluate(b.Context(), data); !errors.Is(err, ErrTooExpensive) {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/CostLimit", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = program.Eval(data) // ended by its limit after replace, and not at all after the comparison
			}
		})
	}
}
