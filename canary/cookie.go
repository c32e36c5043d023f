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
func (t *turn) bind(weight int) {
	affinity, had := t.Plan.Affinity, t.State.Cookies.Canary
	if affinity == nil {
		t.State.Cookies = Cookies{}
		return
	}
	if weight == 0 {
		if had != "" {
			t.State.Cookies = Cookies{Previous: had}
		}
		return
	}
	cookie := affinity.CookieName + "=" + cookieValue("canary", t.State.Applied)
	if cookie == had {
		return
	}
	if had != "" {
		t.State.Cookies.Previous = had
	}
	t.State.Cookies.Canary = cookie
	if affinity.PrimaryCookieName != "" {
		t.State.Cookies.Primary = affinity.PrimaryCookieName + "=" + cookieValue("primary", t.State.Applied)
	}
}

func cookieValue(copy, revision string) string {
	sum := sha256.Sum256([]byte(copy + " " + revision))
	return hex.EncodeToString(sum[:])[:cookieLength]
}
