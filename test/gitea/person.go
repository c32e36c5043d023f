// SPDX-License-Identifier: Apache-2.0

package gitea

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/crypto/ssh"
)

// password of everybody: nobody but the test reaches the server.
const password = "correct-horse"

// Person is somebody with an account, or a program with one: who may do what is
// decided by the repository, not here.
type Person struct {
	Name     string
	Password string // to sign in to the pages
	Token    string // for the API and for Git over HTTP; it may do all that the person may

	server *Server
}

// NewPerson makes an account. Its names are unique on a server.
func (s *Server) NewPerson(ctx context.Context, name string) (*Person, error) {
	p := &Person{Name: name, Password: password, server: s}
	if err := s.Admin.Call(ctx, http.MethodPost, "/admin/users", map[string]any{
		"username": name, "email": email(name), "password": p.Password, "must_change_password": false,
	}, nil); err != nil {
		return nil, err
	}
	token, err := p.NewToken(ctx, "all")
	p.Token = token
	return p, err
}

// NewToken makes another token of the person, for the scopes as Gitea spells them:
// write:repository, write:issue, read:user, all.
func (p *Person) NewToken(ctx context.Context, scopes ...string) (string, error) {
	var made struct {
		SHA1 string `json:"sha1"`
	}
	withPassword := &Person{Name: p.Name, Password: p.Password, server: p.server} // a token cannot make tokens
	err := withPassword.Call(ctx, http.MethodPost, "/users/"+p.Name+"/tokens",
		map[string]any{"name": strings.Join(scopes, " "), "scopes": scopes}, &made)
	return made.SHA1, err
}

// NewSSHKey makes a key of the person for Git over SSH, and returns the private half
// as PEM.
func (p *Person) NewSSHKey(ctx context.Context) ([]byte, error) {
	public, private, err := newKey()
	if err != nil {
		return nil, err
	}
	return private, p.Call(ctx, http.MethodPost, "/user/keys",
		map[string]any{"title": "test", "key": string(ssh.MarshalAuthorizedKey(public))}, nil)
}

// NewOrganization makes an organization that the person owns.
func (p *Person) NewOrganization(ctx context.Context, name string) error {
	return p.Call(ctx, http.MethodPost, "/orgs", map[string]any{"username": name, "visibility": "private"}, nil)
}

// CloneURL is the address of a repository with the person's credentials in it.
func (p *Person) CloneURL(r *Repo) string {
	u, err := url.Parse(r.URL)
	if err != nil {
		return r.URL // which Git will refuse
	}
	u.User = url.UserPassword(p.Name, p.Token)
	return u.String()
}

func email(name string) string { return name + "@example.com" }

// Application is what people sign in to by their accounts of the server, with OpenID Connect.
type Application struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
}

// NewApplication registers one that people are led back from to an address.
func (p *Person) NewApplication(ctx context.Context, name, redirect string) (*Application, error) {
	app := &Application{}
	return app, p.Call(ctx, http.MethodPost, "/user/applications/oauth2", map[string]any{
		"name": name, "redirect_uris": []string{redirect}, "confidential_client": true,
	}, app)
}
