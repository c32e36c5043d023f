// SPDX-License-Identifier: Apache-2.0

package policy

import imagev1 "github.com/sluice-cd/sluice/api/image/v1"

// numbers picks the highest number, or the lowest. Numbers are compared exactly,
// whatever their length. Of different texts of one number (1, 01, 1.0) the one
// that sorts first bytewise wins, in both orders.
type numbers struct{ order order }

func compileNumerical(choice imagev1.ImagePolicyChoice) (rule, error) {
	if choice.Numerical == nil {
		return nil, nil
	}
	o, err := parseOrder(choice.Numerical.Order)
	if err != nil {
		return nil, err
	}
	return numbers{order: o}, nil
}

func (r numbers) String() string { return "numerical " + r.order.String() }

func (r numbers) selector(capacity int) selector { return newTopK[number](r, capacity) }

func (r numbers) parse(text string, into *number) result {
	var ok bool
	if *into, ok = parseNumber(text); !ok {
		return notNumber
	}
	return accepted
}

func (r numbers) compare(a, b *number) int { return a.compare(b) * int(r.order) }

func (r numbers) breakTie(a, b string) int { return firstText(a, b) }
