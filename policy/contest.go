package policy

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// rule is one kind of policy, compiled.
type rule interface {
	// contest starts one pass over texts that keeps the best few.
	contest(room int) contest
	// String names the rule and its argument as a person would: semver 1.x.
	String() string
}

// contest is one pass over texts.
type contest interface {
	// read says whether the rule can weigh text, and holds it for enter.
	read(text string) verdict
	// enter keeps the tag of the text read last if it is among the best.
	enter(tag, text string)
	// ranking is what was kept, best first. It ends the pass.
	ranking() []Ranked
}

// Ranked is a tag that a policy could choose.
type Ranked struct {
	Tag string
	// Text is what was compared: the tag, or what filterTags.extract made of it.
	Text string
}

// scale is how a rule weighs texts.
type scale[W any] interface {
	// weigh reads text into a weight, which is copied only if the text is kept.
	weigh(text string, into *W) verdict
	// compare is positive if the first is better, and zero if both are of texts
	// that weigh the same. It changes neither: pointers only spare it the copies.
	compare(a, b *W) int
	// tie compares different texts that weigh the same.
	tie(a, b string) int
}

// podium is a contest on a scale: a heap of bounded size with the worst on top,
// so that nearly every tag is done with after one comparison.
type podium[W any] struct {
	scale scale[W]
	room  int
	kept  []entry[W]
	last  W
}

// everyTag is the room for all tags, of which the caller lets each in only once.
const everyTag = math.MaxInt

type entry[W any] struct {
	weight    W
	text, tag string
}

func newPodium[W any](s scale[W], room int) contest { return &podium[W]{scale: s, room: room} }

func (p *podium[W]) read(text string) verdict { return p.scale.weigh(text, &p.last) }

func (p *podium[W]) enter(tag, text string) {
	if len(p.kept) < p.room {
		if p.room == everyTag || !p.has(tag) {
			p.kept = append(p.kept, entry[W]{weight: p.last, text: text, tag: tag})
			p.rise(len(p.kept) - 1)
		}
		return
	}
	worst := &p.kept[0]
	order := p.scale.compare(&p.last, &worst.weight)
	if order == 0 {
		order = p.settle(text, tag, worst)
	}
	if order > 0 && !p.has(tag) {
		worst.weight, worst.text, worst.tag = p.last, text, tag
		p.sink(0)
	}
}

// has finds a repetition.
func (p *podium[W]) has(tag string) bool {
	for i := range p.kept {
		if p.kept[i].tag == tag {
			return true
		}
	}
	return false
}

// compare is a total order of tags; it is zero for the same tag only.
func (p *podium[W]) compare(a, b *entry[W]) int {
	if order := p.scale.compare(&a.weight, &b.weight); order != 0 {
		return order
	}
	return p.settle(a.text, a.tag, b)
}

// settle compares with a rival of the same weight.
func (p *podium[W]) settle(text, tag string, rival *entry[W]) int {
	if text != rival.text {
		return p.scale.tie(text, rival.text)
	}
	return cmp.Compare(rival.tag, tag)
}

func (p *podium[W]) sink(i int) {
	for {
		child := 2*i + 1
		if child >= len(p.kept) {
			return
		}
		if right := child + 1; right < len(p.kept) && p.compare(&p.kept[right], &p.kept[child]) < 0 {
			child = right
		}
		if p.compare(&p.kept[i], &p.kept[child]) <= 0 {
			return
		}
		p.kept[i], p.kept[child] = p.kept[child], p.kept[i]
		i = child
	}
}

func (p *podium[W]) rise(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if p.compare(&p.kept[parent], &p.kept[i]) <= 0 {
			return
		}
		p.kept[i], p.kept[parent] = p.kept[parent], p.kept[i]
		i = parent
	}
}

func (p *podium[W]) ranking() []Ranked {
	slices.SortFunc(p.kept, func(a, b entry[W]) int { return p.compare(&b, &a) })
	best := make([]Ranked, len(p.kept))
	for i, e := range p.kept {
		best[i] = Ranked{Tag: e.tag, Text: e.text}
	}
	return best
}

// firstText and lastText are the two ways to break a tie.
func firstText(a, b string) int { return strings.Compare(b, a) }
func lastText(a, b string) int  { return strings.Compare(a, b) }
