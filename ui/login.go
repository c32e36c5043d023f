// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// cookie is the name of the cookie of a session. The prefix has browsers refuse it without TLS, and from other hosts.
func (l *login) cookie() string {
	if l.secure() {
		return "__Host-sluice"
	}
	return "sluice"
}

func (l *login) secure() bool { return l.URL.Scheme == "https" }

func (l *login) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) { l.form(w, r, http.StatusOK, "") })
	mux.HandleFunc("POST /login", l.withToken)
	mux.HandleFunc("POST /logout", l.logout)
	if l.provider != nil {
		mux.HandleFunc("GET /login/oidc", l.queued(l.redirectToProvider))
		mux.HandleFunc("GET /login/callback", l.queued(l.callback))
	}
}

// queued lets a few people who are signing in ask the provider at one time.
func (l *login) queued(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		leave, err := l.signIns.enter(ctx)
		if err != nil {
			l.form(w, r, http.StatusTooManyRequests, err.Error())
			return
		}
		defer leave()
		next(w, r.WithContext(ctx))
	}
}

// form is the page to sign in. It needs no script.
var form = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in · Sluice</title><link rel="icon" href="/favicon.svg"><link rel="stylesheet" href="/login.css"></head>
<body><main><h1><img src="/favicon.svg" alt="" width="32" height="32"> Sluice</h1>
{{with .Why}}<p role="alert">{{.}}</p>{{end}}
{{with .Provider}}<a class="button" href="/login/oidc?to={{$.To}}">Sign in with {{.}}</a><p class="or">or</p>{{end}}
<form method="post" action="/login"><input type="hidden" name="to" value="{{.To}}">
<label for="token">Token of the API server</label>
<input id="token" name="token" type="password" autocomplete="off" required>
<p class="dim">For one, run <code>kubectl -n NAMESPACE create token NAME</code> with those of a ServiceAccount.
You see and do what it may.</p>
<button{{if .Provider}} class="plain"{{end}}>Sign in</button></form>
{{if .Anonymous}}<p><a href="/">Look without signing in</a></p>{{end}}
</main></body></html>
`))

// arrived leads into the page from a response to another site: a redirect would not bring the new cookie along.
var arrived = template.Must(template.New("arrived").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={{.}}"><title>Sluice</title></head>
<body><a href="{{.}}">Continue</a></body></html>
`))

func (l *login) form(w http.ResponseWriter, r *http.Request, code int, why string) {
	provider := ""
	if l.provider != nil {
		provider = l.provider.Name()
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = form.Execute(w, struct {
		Why, Provider, To string
		Anonymous         bool
	}{why, provider, screenOf(r.FormValue("to")), l.Anonymous}) // to a client that may be gone
}

// screenOf is the path of a screen that was asked for, and never another server.
func screenOf(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(u.Path, "//") ||
		strings.ContainsAny(to, "\\\r\n\t") || strings.HasPrefix(u.Path, "/login") || strings.HasPrefix(u.Path, "/api/") {
		return "/"
	}
	return to
}

func (l *login) withToken(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimSpace(r.FormValue("token"))
	if token == "" {
		l.form(w, r, http.StatusBadRequest, "the token is missing")
		return
	}
	who := identity{Token: token}
	switch _, err := l.newcomerView(r.Context(), who); {
	case errors.Is(err, errCrowded):
		l.form(w, r, http.StatusTooManyRequests, err.Error())
	case isDenied(err):
		l.form(w, r, http.StatusUnauthorized, err.Error())
	case err != nil:
		l.form(w, r, http.StatusBadGateway, err.Error())
	default:
		l.startSession(w, r, who)
	}
}

// startSession gives somebody a session.
func (l *login) startSession(w http.ResponseWriter, r *http.Request, who identity) {
	until := l.clock.Now().Add(l.Lifetime)
	value, err := l.sessions.seal(sessionCookie, signInCookie{who, until})
	if err != nil {
		l.form(w, r, http.StatusBadRequest, err.Error())
		return
	}
	l.setParts(w, l.cookie(), value, until)
	to := screenOf(r.FormValue("to"))
	if r.Method == http.MethodPost {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	l.arrive(w, to)
}

func (*login) arrive(w http.ResponseWriter, to string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = arrived.Execute(w, to) // to a client that may be gone
}

// set gives a browser a cookie, or takes it back when its time is over.
func (l *login) set(w http.ResponseWriter, name, value string, until time.Time) {
	c := &http.Cookie{
		Name: name, Value: value, Path: "/", HttpOnly: true, Secure: l.secure(), SameSite: http.SameSiteStrictMode, Expires: until,
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// setParts gives a browser a cookie in as many parts as it takes, and takes back what is left of a longer one.
func (l *login) setParts(w http.ResponseWriter, name, value string, until time.Time) {
	for part := range cookieParts {
		end := min(len(value), maxCookie)
		l.set(w, partOf(name, part), value[:end], until)
		value = value[end:]
	}
}

func (l *login) logout(w http.ResponseWriter, r *http.Request) {
	l.setParts(w, l.cookie(), "", time.Unix(1, 0))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}
