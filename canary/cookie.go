// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Cookies are `<name>=<value>`, with a value for each revision, so that a new
// one is not bound by the sessions of the last. All are empty without session
// affinity.
type Cookies struct {
	// Canary marks users of the revision under analysis, Previous those of the
	// one before, and Primary those who stay on the primary.
	Canary, Previous, Primary string
}

// cookieLength is the length of the values that Flagger makes.
const cookieLength = 10

// sessionCookies are the cookies of the next state: users of the canary get one, and
// are let go when it has none any more. A value belongs to a revision, and is the same
// however often a step is repeated.
func sessionCookies(t transition, next State) Cookies {
	affinity, had := t.seen.Plan.Affinity, next.Cookies.Canary
	switch {
	case affinity == nil:
		return Cookies{}
	case next.Weight == 0 && had != "":
		return Cookies{Previous: had}
	case next.Weight == 0:
		return next.Cookies
	}
	sameRevision := t.prev.Applied == next.Applied
	value := func(name, had, copy string) string {
		// Users keep a cookie of this revision, also if Flagger chose it.
		if sameRevision && strings.HasPrefix(had, name+"=") {
			return had
		}
		return name + "=" + cookieValue(copy, next.Applied)
	}
	cookies := Cookies{Canary: value(affinity.CookieName, had, "canary"), Previous: next.Cookies.Previous}
	if had != "" && had != cookies.Canary {
		cookies.Previous = had
	}
	if cookies.Previous == cookies.Canary {
		cookies.Previous = "" // the revision is tried again
	}
	if affinity.PrimaryCookieName != "" {
		cookies.Primary = value(affinity.PrimaryCookieName, next.Cookies.Primary, "primary")
	}
	return cookies
}

func cookieValue(copy, revision string) string {
	sum := sha256.Sum256([]byte(copy + " " + revision))
	return hex.EncodeToString(sum[:])[:cookieLength]
}
