package canary

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// cookieLength is that of Flagger's values.
const cookieLength = 10

// bind gives the users of the canary cookies, and lets them go when it has none
// any more. A value belongs to a revision, and is the same however often a step
// is repeated.
func (t *turn) bind() {
	affinity, had := t.Plan.Affinity, t.State.Cookies.Canary
	switch {
	case affinity == nil:
		t.State.Cookies = Cookies{}
		return
	case t.State.Weight == 0 && had != "":
		t.State.Cookies = Cookies{Previous: had}
		return
	case t.State.Weight == 0:
		return
	}
	cookies := Cookies{Canary: t.cookie(affinity.CookieName, had, "canary"), Previous: t.State.Cookies.Previous}
	if had != "" && had != cookies.Canary {
		cookies.Previous = had
	}
	if cookies.Previous == cookies.Canary {
		cookies.Previous = "" // the revision is tried again
	}
	if affinity.PrimaryCookieName != "" {
		cookies.Primary = t.cookie(affinity.PrimaryCookieName, t.State.Cookies.Primary, "primary")
	}
	t.State.Cookies = cookies
}

// cookie is that of one copy for the revision under analysis. One that its users
// have already stays what it is, also if Flagger chose it.
func (t *turn) cookie(name, had, copy string) string {
	if t.was.Applied == t.State.Applied && strings.HasPrefix(had, name+"=") {
		return had
	}
	return name + "=" + cookieValue(copy, t.State.Applied)
}

func cookieValue(copy, revision string) string {
	sum := sha256.Sum256([]byte(copy + " " + revision))
	return hex.EncodeToString(sum[:])[:cookieLength]
}
