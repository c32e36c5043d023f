// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/internal/template"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// DefaultMessage is the commit message of automations without a template.
const DefaultMessage = "Update from image update automation"

// ErrRemovedField means that a template uses a field that the API once had.
var ErrRemovedField = errors.New("the template uses a removed field")

// MessageData is what a commit message template sees.
type MessageData struct {
	AutomationObject types.NamespacedName
	Changed          Changed
	Values           map[string]string
}

// Template is the same as templates see it.
func (d MessageData) Template() any {
	return messageData{
		AutomationObject: d.AutomationObject, Values: d.Values,
		Changed: messageChanged{
			FileChanges: d.Changed.FileChanges, Files: d.Changed.Files(), Changes: d.Changed.Changes(), Objects: d.Changed.Objects(),
		},
	}
}

// messageData is the same with what the methods of [Changed] return, so that a
// template that loops over the changes does not list them anew each time.
type messageData struct {
	AutomationObject types.NamespacedName
	Changed          messageChanged
	Values           map[string]string
}

type messageChanged struct {
	FileChanges map[string]ObjectChanges
	Files       []string
	Changes     []edit.Change
	Objects     ObjectChanges
}

// ErrMessageBudget means that a commit message template loops, or makes values,
// without end. It does so each time.
var ErrMessageBudget = template.ErrBudget

// ErrMessage means that a commit message template names a field that there is not,
// whatever the commit changes.
var ErrMessage = errors.New("the commit message template names a field that there is not")

// messageError is an ErrMessage with the words of the template engine alone.
type messageError struct{ error }

func (messageError) Is(target error) bool { return target == ErrMessage }
func (e messageError) Unwrap() error      { return e.error }

// Message is a parsed commit message template.
type Message struct{ template *template.Template }

// ParseMessage parses a Go template with functions of sprig, within the bounds of
// [template.DefaultLimits]. An empty text is [DefaultMessage].
func ParseMessage(text string) (Message, error) {
	if text == "" {
		text = DefaultMessage
	}
	t, err := template.Language{Name: "commit message template", Functions: template.Functions()}.Parse(text)
	return Message{t}, err
}

// Render executes the template.
func (m Message) Render(ctx context.Context, data MessageData) (string, error) {
	text, err := m.template.Execute(ctx, data.Template())
	if err != nil && strings.Contains(err.Error(), "can't evaluate field") {
		err = messageError{err}
	}
	return text, removedField(err)
}

// removedFields are the fields that older APIs had, what the template engine
// says when a template still uses one, and what to use instead.
var removedFields = []struct{ field, complaint, instead string }{
	{".Updated", "can't evaluate field Updated in type writeback.messageData", "'.Changed'"},
	{".Changed.ImageResult", "can't evaluate field ImageResult in type writeback.messageChanged",
		"'.Changed.FileChanges' or '.Changed.Objects'"},
}

func removedField(err error) error {
	if err == nil {
		return nil
	}
	for _, removed := range removedFields {
		if strings.Contains(err.Error(), removed.complaint) {
			return fmt.Errorf("%w: template uses removed '%s' field. Please use %s instead",
				ErrRemovedField, removed.field, removed.instead)
		}
	}
	return err
}
