// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"strings"

	"github.com/sluice-cd/sluice/internal/template"
)

// Template is the text of a field, which is a Go template with the functions of
// [template.Functions], within a budget.
type Template struct {
	Field, Text string
	// Data is an example of what it is executed on.
	Data any
}

// Parse refuses what is no template, and what names a field that its data never has. The
// error is terminal, and names the field.
func (t Template) Parse() (*template.Template, error) {
	parsed, err := template.Language{Name: t.Field, Functions: template.Functions(), Strict: true, Data: t.Data}.Parse(t.Text)
	if err != nil {
		return nil, refuse("%w", err)
	}
	return parsed, nil
}

// Render executes the template, or returns the default if there is none. What fails in it
// fails each time: the error is terminal, unless there was no time.
func (t Template) Render(ctx context.Context, data any, otherwise func() string) (string, error) {
	if t.Text == "" {
		return otherwise(), nil
	}
	parsed, err := t.Parse()
	if err != nil {
		return "", err
	}
	said, err := parsed.Execute(ctx, data)
	if err != nil && ctx.Err() == nil {
		return "", refuse("%w", err)
	}
	return said, err
}

// Templates are the templates of a pull request's title and body.
type Templates struct{ Title, Body Template }

// TemplatesOf returns the templates in the fields titleTemplate and bodyTemplate of a field; data is an
// example of what they are executed on.
func TemplatesOf(field, title, body string, data any) Templates {
	return Templates{Title: Template{field + ".titleTemplate", title, data}, Body: Template{field + ".bodyTemplate", body, data}}
}

// Parse refuses what [Template.Parse] does.
func (t Templates) Parse() error {
	for _, one := range []Template{t.Title, t.Body} {
		if _, err := one.Parse(); err != nil {
			return err
		}
	}
	return nil
}

// Render is the text that they make. A title is one line, and that of the default if the
// template makes none. The forge shortens both to what it takes.
func (t Templates) Render(ctx context.Context, data any, otherwise func() Text) (Text, error) {
	title, err := t.Title.Render(ctx, data, func() string { return otherwise().Title })
	if err != nil {
		return Text{}, err
	}
	if title = strings.Join(strings.Fields(title), " "); title == "" {
		title = otherwise().Title
	}
	body, err := t.Body.Render(ctx, data, func() string { return otherwise().Body })
	return Text{Title: title, Body: body}, err
}
