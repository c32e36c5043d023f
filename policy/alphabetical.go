// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"strings"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// letters picks the last text in bytewise order, or the first. Different texts
// never tie.
type letters struct{ order order }

func compileAlphabetical(choice imagev1.ImagePolicyChoice) (rule, error) {
	if choice.Alphabetical == nil {
		return nil, nil
	}
	o, err := parseOrder(choice.Alphabetical.Order)
	if err != nil {
		return nil, err
	}
	return letters{order: o}, nil
}

func (r letters) String() string { return "alphabetical " + r.order.String() }

func (r letters) selector(capacity int) selector { return newTopK[string](r, capacity) }

func (r letters) parse(text string, into *string) result {
	*into = text
	return accepted
}

func (r letters) compare(a, b *string) int { return strings.Compare(*a, *b) * int(r.order) }

func (r letters) breakTie(a, b string) int { return firstText(a, b) }

// order is the direction of a rule: the sign of the comparison that wins.
type order int

const (
	ascending  order = 1  // the last wins
	descending order = -1 // the first wins
)

// parseOrder reads the field order of a rule, in any case; empty is ascending. The error begins with the field.
func parseOrder(s string) (order, error) {
	switch strings.ToLower(s) {
	case "", "asc":
		return ascending, nil
	case "desc":
		return descending, nil
	}
	return 0, fmt.Errorf("order: unknown order %q, must be asc or desc", s)
}

func (o order) String() string {
	if o == descending {
		return "desc"
	}
	return "asc"
}
