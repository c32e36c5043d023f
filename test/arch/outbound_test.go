// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// outbound is where the connections that leave the cluster are put together.
const outbound = "internal/outbound/"

// composesClients are the files elsewhere that may, and why.
var composesClients = map[string]string{
	"apply/build/serve.go": "the process of a build has its default transport taken away",
}

// TestConnectionsAreMadeInOnePlace holds what leaves the cluster to internal/outbound: who puts
// together a client elsewhere decides anew where its redirects lead, how much it reads, and
// past which addresses.
func TestConnectionsAreMadeInOnePlace(t *testing.T) {
	unused := map[string]bool{}
	for file := range composesClients {
		unused[file] = true
	}
	for file := range sources(t) {
		name := filepath.ToSlash(file)
		if strings.HasPrefix(name, outbound) || strings.HasPrefix(name, "test/") || strings.HasPrefix(name, "hack/") {
			continue
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, filepath.Join("..", "..", file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range clients(parsed) {
			delete(unused, name)
			if composesClients[name] == "" {
				t.Errorf("%s: %s is for internal/outbound only: use its NewClient, or Guard.TransportFor", fset.Position(found.at), found.what)
			}
		}
	}
	for file := range unused {
		t.Errorf("%s puts no client together any more: take it from the list", file)
	}
}

// TestTheTableOfRedirectsIsTrue compares the table in the comment of internal/outbound with the
// policies that packages use.
func TestTheTableOfRedirectsIsTrue(t *testing.T) {
	said := map[string]bool{}
	doc, err := os.ReadFile(filepath.Join("..", "..", outbound, "doc.go"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(doc)) {
		if fields := strings.Fields(strings.TrimPrefix(line, "//\t")); strings.HasPrefix(line, "//\t") && len(fields) > 2 {
			if _, ok := place(fields[0]); ok {
				said[fields[0]+" "+fields[1]] = true
			}
		}
	}
	used := map[string]bool{}
	for file := range sources(t) {
		name := filepath.ToSlash(file)
		if strings.HasPrefix(name, outbound) || strings.HasPrefix(name, "test/") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, policy := range policies(parsed) {
			used[path.Dir(name)+" "+policy] = true
		}
	}
	if len(used) == 0 {
		t.Fatal("no policies found")
	}
	for use := range used {
		if !said[use] {
			t.Errorf("%s is not in the table of internal/outbound/doc.go", use)
		}
	}
	for use := range said {
		if !used[use] {
			t.Errorf("%s is in the table of internal/outbound/doc.go, and not in the code", use)
		}
	}
}

// policies are those that the clients of a file have, and those that it makes.
func policies(file *ast.File) (found []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if from, name := selected(n.Fun); from == "outbound" && name == "Within" {
				found = append(found, name)
			}
		case *ast.CompositeLit:
			if from, name := selected(n.Type); from == "outbound" && name == "Rules" {
				found = append(found, policy(n))
			}
		}
		return true
	})
	return found
}

// policy is that of a literal of outbound.Rules.
func policy(rules *ast.CompositeLit) string {
	for _, element := range rules.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		if key, ok := pair.Key.(*ast.Ident); !ok || key.Name != "Redirects" {
			continue
		}
		value := pair.Value
		if call, ok := value.(*ast.CallExpr); ok {
			value = call.Fun
		}
		from, name := selected(value)
		if from == "outbound" {
			return name
		}
		return from + "." + name
	}
	return "Return"
}

// made is a piece of a client that is put together.
type made struct {
	at   token.Pos
	what string
}

// clients finds what a file puts together of clients: literals of http.Client and
// http.Transport, what stands for them, and the fields that say whom they trust.
func clients(file *ast.File) (found []made) {
	parts := []string{"Client", "Transport"}
	ready := []string{"DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm"}
	fields := []string{"CheckRedirect", "InsecureSkipVerify"}
	note := func(at token.Pos, what string) { found = append(found, made{at, what}) }
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			if name := ofHTTP(n.Type); slices.Contains(parts, name) {
				note(n.Pos(), "http."+name+"{}")
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "new" && len(n.Args) == 1 && slices.Contains(parts, ofHTTP(n.Args[0])) {
				note(n.Pos(), "new(http."+ofHTTP(n.Args[0])+")")
			}
		case *ast.SelectorExpr:
			if name := ofHTTP(n); slices.Contains(ready, name) {
				note(n.Pos(), "http."+name)
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && slices.Contains(fields, key.Name) {
				note(n.Pos(), key.Name)
			}
		case *ast.AssignStmt:
			for _, to := range n.Lhs {
				if field, ok := to.(*ast.SelectorExpr); ok && slices.Contains(fields, field.Sel.Name) {
					note(field.Pos(), field.Sel.Name)
				}
			}
		case *ast.ValueSpec:
			if name := ofHTTP(n.Type); slices.Contains(parts, name) {
				note(n.Pos(), "a variable that is an http."+name)
			}
		}
		return true
	})
	return found
}

// ofHTTP is the name behind http., or "".
func ofHTTP(e ast.Expr) string {
	if from, name := selected(e); from == "http" {
		return name
	}
	return ""
}

// selected are the package and the name of package.Name, or "".
func selected(e ast.Expr) (string, string) {
	expr, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	from, ok := expr.X.(*ast.Ident)
	if !ok {
		return "", ""
	}
	return from.Name, expr.Sel.Name
}

func TestClientsAreFound(t *testing.T) {
	for code, want := range map[string]string{
		`c := &http.Client{Timeout: 1}`:                          "http.Client{}",
		`c := http.Client{}`:                                     "http.Client{}",
		`t := &http.Transport{}`:                                 "http.Transport{}",
		`c := new(http.Client)`:                                  "new(http.Client)",
		`var c http.Client`:                                      "a variable that is an http.Client",
		`var c *http.Client`:                                     "",
		`r, _ := http.Get("https://a.example")`:                  "http.Get",
		`c := http.DefaultClient`:                                "http.DefaultClient",
		`t := http.DefaultTransport.(*http.Transport).Clone()`:   "http.DefaultTransport",
		`c.CheckRedirect = nil`:                                  "CheckRedirect",
		`t.TLSClientConfig.InsecureSkipVerify = true`:            "InsecureSkipVerify",
		`c := &tls.Config{InsecureSkipVerify: true}`:             "InsecureSkipVerify",
		`s := outbound.Settings{Insecure: c.InsecureSkipVerify}`: "",
		`c := client.New(http.MethodGet)`:                        "",
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "a.go", "package a\nfunc a() { "+code+" }", parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range clients(file) {
			got = append(got, m.what)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: found %q, want %q", code, got, want)
		}
	}
}
