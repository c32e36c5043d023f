// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
	"strings"
)

// rule is one kind of policy, compiled.
type rule interface {
	// selector starts one pass over texts that keeps the best few.
	selector(capacity int) selector
	// String names the rule and its argument as a person would: semver 1.x.
	String() string
}

// selector is one pass over texts.
type selector interface {
	// read says whether the rule can compare text, and holds it for keep.
	read(text string) result
	// keep keeps the tag of the text read last if it is among the best.
	keep(tag, text string)
	// best is what was kept, best first. It ends the pass.
	best() []Ranked
}

// Ranked is a tag that a policy could choose.
type Ranked struct {
	Tag string
	// Text is what was compared: the tag, or what filterTags.extract made of it.
	Text string
}

// comparator is how a rule orders texts.
type comparator[K any] interface {
	// parse reads text into a key, which is copied only if the text is kept.
	parse(text string, into *K) result
	// compare is positive if the first is better, and zero if both are of texts
	// whose keys are equal. It changes neither: pointers only spare it the copies.
	compare(a, b *K) int
	// breakTie compares different texts whose keys are equal.
	breakTie(a, b string) int
}

// topK keeps the best tags of a pass in a heap of bounded size with the worst on top,
// so that nearly every tag is done with after one comparison.
type topK[K any] struct {
	order    comparator[K]
	capacity int
	kept     entries[K]
	last     K
}

// unbounded is the capacity for all tags, of which the caller keeps each only once.
const unbounded = math.MaxInt

type entry[K any] struct {
	key       K
	text, tag string
}

// entries is a heap.Interface of which container/heap only repairs the order: nothing
// is pushed or popped, which would cost an allocation for each entry.
type entries[K any] struct {
	order comparator[K]
	list  []entry[K]
}

func newTopK[K any](order comparator[K], capacity int) selector {
	return &topK[K]{order: order, capacity: capacity, kept: entries[K]{order: order}}
}

func (t *topK[K]) read(text string) result { return t.order.parse(text, &t.last) }

func (t *topK[K]) keep(tag, text string) {
	list := t.kept.list
	if len(list) < t.capacity {
		if t.capacity == unbounded || !t.kept.has(tag) {
			t.kept.list = append(list, entry[K]{key: t.last, text: text, tag: tag})
			if t.capacity != unbounded {
				heap.Fix(&t.kept, len(list))
			}
		}
		return
	}
	worst := &list[0]
	order := t.order.compare(&t.last, &worst.key)
	if order == 0 {
		order = breakTie(t.order, text, tag, worst)
	}
	if order > 0 && (len(list) == 1 || !t.kept.has(tag)) { // an entry is not better than itself
		worst.key, worst.text, worst.tag = t.last, text, tag
		if len(list) > 1 {
			heap.Fix(&t.kept, 0)
		}
	}
}

func (t *topK[K]) best() []Ranked {
	list := t.kept.list
	slices.SortFunc(list, func(a, b entry[K]) int { return t.kept.compare(&b, &a) })
	best := make([]Ranked, len(list))
	for i, e := range list {
		best[i] = Ranked{Tag: e.tag, Text: e.text}
	}
	return best
}

// has finds a repetition.
func (e *entries[K]) has(tag string) bool {
	for i := range e.list {
		if e.list[i].tag == tag {
			return true
		}
	}
	return false
}

// compare is a total order of tags; it is zero for the same tag only.
func (e *entries[K]) compare(a, b *entry[K]) int {
	if order := e.order.compare(&a.key, &b.key); order != 0 {
		return order
	}
	return breakTie(e.order, a.text, a.tag, b)
}

// breakTie compares a text and its tag with an entry whose key is equal.
func breakTie[K any](order comparator[K], text, tag string, other *entry[K]) int {
	if text != other.text {
		return order.breakTie(text, other.text)
	}
	return cmp.Compare(other.tag, tag)
}

// Len implements heap.Interface.
func (e *entries[K]) Len() int { return len(e.list) }

// Less implements heap.Interface: the worst comes first.
func (e *entries[K]) Less(i, j int) bool { return e.compare(&e.list[i], &e.list[j]) < 0 }

// Swap implements heap.Interface.
func (e *entries[K]) Swap(i, j int) { e.list[i], e.list[j] = e.list[j], e.list[i] }

// Push implements heap.Interface.
func (e *entries[K]) Push(x any) { e.list = append(e.list, x.(entry[K])) }

// Pop implements heap.Interface.
func (e *entries[K]) Pop() any {
	last := e.list[len(e.list)-1]
	e.list = e.list[:len(e.list)-1]
	return last
}

// firstText and lastText are the two ways to break a tie.
func firstText(a, b string) int { return strings.Compare(b, a) }
func lastText(a, b string) int  { return strings.Compare(a, b) }
