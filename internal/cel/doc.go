// SPDX-License-Identifier: Apache-2.0

// Package cel evaluates expressions of the Common Expression Language that people
// put into objects, and that ask about what others send.
//
//	Compile -> Program.Evaluate(data) -> a value, or
//	    ErrTooExpensive   more steps or longer texts than an expression may have
//
// The language itself always ends, which is not the same as soon: four nested
// comprehensions over a body of a kilobyte are billions of steps, one call of
// replace can make terabytes, and comparing lists that hold one another many times
// over is exponential within a single step. So every step of an evaluation is
// counted, and a call is weighed before it is made: by the length of its texts, and
// by everything inside its lists where it looks inside. An expression that goes
// beyond the budget is ended there, always at the same place for the same data.
//
// The environment is that of Flux: its variables are dynamic objects, its
// extensions strings, sets and encoders.
//
// The evaluation is cel-go's; the counting is our own, since cel-go's CostLimit counts a call
// after it was made and a comparison by the length of its lists. A `replace` that makes 64 MB
// of a text of 8 kB ends after 76 ms and all of them there, with a limit of a million as in
// Kubernetes, and after 3 µs and half a kilobyte here, 30,000 times sooner; of a text of a
// megabyte it would make a terabyte. A comparison of lists within lists never meets that
// limit, and is ended here.
//
//	go test -run xxx -bench OneCall ./internal/cel
package cel
