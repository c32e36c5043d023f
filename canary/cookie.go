package canary

import (
	"crypto/sha256"
	"encoding/hex"
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
	cookies := Cookies{Canary: affinity.CookieName + "=" + cookieValue("canary", t.State.Applied), Previous: t.State.Cookies.Previous}
	if had != "" && had != cookies.Canary {
		cookies.Previous = had
	}
	if cookies.Previous == cookies.Canary {
		cookies.Previous = "" // the revision is tried again
	}
	if affinity.PrimaryCookieName != "" {
		cookies.Primary = affinity.PrimaryCookieName + "=" + cookieValue("primary", t.State.Applied)
	}
	t.State.Cookies = cookies
}

func cookieValue(copy, revision string) string {
	sum := sha256.Sum256([]byte(copy + " " + revision))
	return hex.EncodeToString(sum[:])[:cookieLength]
}
