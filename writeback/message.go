package writeback

import (
	"errors"
	"fmt"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"k8s.io/apimachinery/pkg/types"
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

// Message is a parsed commit message template.
type Message struct{ template *template.Template }

// ParseMessage parses a Go template with the sprig functions that give the same
// result wherever and whenever they run: none that read the environment, the
// time, the network or chance. An empty text is [DefaultMessage].
func ParseMessage(text string) (Message, error) {
	if text == "" {
		text = DefaultMessage
	}
	t, err := template.New("commit message").Funcs(sprig.HermeticTxtFuncMap()).Parse(text)
	if err != nil {
		return Message{}, fmt.Errorf("parsing the commit message template: %w", err)
	}
	return Message{t}, nil
}

// Render executes the template.
func (m Message) Render(data MessageData) (string, error) {
	var text strings.Builder
	if err := m.template.Execute(&text, data); err != nil {
		return "", removedField(fmt.Errorf("executing the commit message template: %w", err))
	}
	return text.String(), nil
}

// removedFields are the fields that older APIs had, what the template engine
// says when a template still uses one, and what to use instead.
var removedFields = []struct{ field, complaint, instead string }{
	{".Updated", "can't evaluate field Updated in type writeback.MessageData", "'.Changed'"},
	{".Changed.ImageResult", "can't evaluate field ImageResult in type writeback.Changed",
		"'.Changed.FileChanges' or '.Changed.Objects'"},
}

func removedField(err error) error {
	for _, removed := range removedFields {
		if strings.Contains(err.Error(), removed.complaint) {
			return fmt.Errorf("%w: template uses removed '%s' field. Please use %s instead",
				ErrRemovedField, removed.field, removed.instead)
		}
	}
	return err
}
