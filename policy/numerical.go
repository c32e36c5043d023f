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

func (r numbers) contest() contest { return &extremeNumber{order: r.order} }

type extremeNumber struct {
	order order
	best  number
	text  string
	any   bool
}

func (c *extremeNumber) offer(text string) verdict {
	if c.any && text == c.text {
		return equals
	}
	n, ok := parseNumber(text)
	if !ok {
		return notNumber
	}
	if c.any {
		sign := n.compare(c.best) * int(c.order)
		if sign < 0 || sign == 0 && text > c.text {
			return trails
		}
	}
	c.best, c.text, c.any = n, text, true
	return leads
}
