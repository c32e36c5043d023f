// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// button is one of a screen.
type button struct {
	path string
	// within is the part of the screen that it is in.
	within string
	word   string
	// right is what is missing for somebody who may only look.
	right string
	// object and done: what is there once it was pressed.
	object client.Object
	done   func(client.Object) bool
}

// buttons are all that there are; the test fails for any other one.
func (w *webTest) buttons() []button {
	canary := func(name, word string, verb flaggerv1.CommandVerb) button {
		return button{"/canary/" + w.shop + "/" + name, ".heading", word, `cannot patch resource "canaries"`,
			&flaggerv1.Canary{ObjectMeta: named(w.shop, name)}, func(o client.Object) bool {
				return strings.Contains(o.GetAnnotations()[flaggerv1.CommandAnnotation], string(verb))
			}}
	}
	stage := func(pipeline, stage, word string, verb sluicev1.CommandVerb) button {
		return button{"/pipeline/" + w.shop + "/" + pipeline, "#stage-" + stage, word, `cannot patch resource "pipelines"`,
			&sluicev1.Pipeline{ObjectMeta: named(w.shop, pipeline)}, func(o client.Object) bool {
				return o.GetAnnotations()[sluicev1.CommandAnnotation(verb, stage)] != ""
			}}
	}
	requested := func(o client.Object) bool { return o.GetAnnotations()[meta.ReconcileRequestAnnotation] != "" }
	shop := &kustomizev1.Kustomization{ObjectMeta: named(w.shop, "shop")}
	database := &kustomizev1.Kustomization{ObjectMeta: named(w.shop, "database")}
	fleet := &imagev1.ImageUpdateAutomation{ObjectMeta: named(w.shop, "fleet")}
	suspended := func(is bool) func(client.Object) bool {
		return func(o client.Object) bool {
			switch o := o.(type) {
			case *kustomizev1.Kustomization:
				return o.Spec.Suspend == is
			case *imagev1.ImageUpdateAutomation:
				return o.Spec.Suspend == is
			case *flaggerv1.Canary:
				return o.Spec.Suspend == is
			}
			return false
		}
	}
	kustomizations, automations := `cannot patch resource "kustomizations"`, `cannot patch resource "imageupdateautomations"`
	return []button{
		canary("podinfo", "Pause", flaggerv1.CommandPause), canary("podinfo", "Halt", flaggerv1.CommandHalt),
		canary("podinfo", "Promote", flaggerv1.CommandPromote), canary("podinfo", "Abort", flaggerv1.CommandAbort),
		canary("api", "Approve", flaggerv1.CommandApprove), canary("cart", "Try again", flaggerv1.CommandRetry),
		canary("paused", "Resume", flaggerv1.CommandApprove),
		{"/canary/" + w.shop + "/search", ".heading", "Resume", `cannot patch resource "canaries"`,
			&flaggerv1.Canary{ObjectMeta: named(w.shop, "search")}, suspended(false)},
		stage("shop", "production", "Approve", sluicev1.CommandApprove), stage("shop", "production", "Promote", sluicev1.CommandPromote),
		stage("shop", "staging", "Hold", sluicev1.CommandHold), stage("shop", "staging", "Roll back", sluicev1.CommandRollback),
		stage("held", "staging", "Resume", sluicev1.CommandHold),
		stage("held", "production", "Override", sluicev1.CommandOverride),
		{"/pipeline/" + w.shop + "/held", ".notice", "Lift", `cannot patch resource "pipelines"`,
			&sluicev1.Pipeline{ObjectMeta: named(w.shop, "held")},
			func(o client.Object) bool {
				return o.GetAnnotations()[sluicev1.CommandAnnotation(sluicev1.CommandLift, "staging")] != ""
			}},
		{"/objects/Kustomization/" + w.shop + "/shop", ".heading", "Reconcile", kustomizations, shop, requested},
		{"/objects/Kustomization/" + w.shop + "/database", ".heading", "Suspend", kustomizations, database, suspended(true)},
		{"/objects/Kustomization/" + w.shop + "/database", ".heading", "Resume", kustomizations, database, suspended(false)},
		{"/commit/" + w.shop + "/fleet", ".heading", "Run now", automations, fleet, requested},
		{"/commit/" + w.shop + "/fleet", ".heading", "Suspend", automations, fleet, suspended(true)},
		{"/commit/" + w.shop + "/fleet", ".heading", "Resume", automations, fleet, suspended(false)},
	}
}

func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

// press presses a button, and says yes to the question that it asks.
func (p *tab) press(b button) {
	p.Helper()
	p.click(b.within+" button", b.word)
	p.until("the question", `document.querySelector("dialog.confirm[open] form") !== null`)
	if eval[bool](p, `document.querySelector("dialog.confirm input[required]") !== null`) {
		p.do(chromedp.SendKeys(chromedp.CSS("dialog.confirm input"), "an incident"))
	}
	p.click("dialog.confirm button[type=submit]", "")
}

// pressed has every button pressed by somebody who may only look, and then by somebody who may.
func pressed(t *testing.T, w *webTest) {
	looks, may := w.visitor(t, w.shop, "looks", "get", "list", "watch"), w.visitor(t, w.shop, "may", "*")
	known := map[string][]string{}
	for _, b := range w.buttons() {
		known[b.path] = append(known[b.path], b.word)
	}
	for _, b := range w.buttons() {
		looks.open(b.path)
		looks.until(b.path, `document.querySelector(".heading .buttons") !== null`)
		looks.press(b)
		looks.says("dialog.confirm [role=alert]", b.right)
		looks.keys(kb.Escape)
		looks.until("the question is gone", `document.querySelector("dialog[open]") === null`)

		may.open(b.path)
		may.press(b)
		may.until("an answer to "+b.word, `document.querySelector("dialog[open]") === null || document.querySelector("dialog .error") !== null`)
		if why := may.text("dialog[open] .error"); why != "" {
			t.Errorf("%s of %s: %s", b.word, b.path, why)
			may.keys(kb.Escape)
		}
		if err := w.Client.Get(t.Context(), client.ObjectKeyFromObject(b.object), b.object); err != nil || !b.done(b.object) {
			t.Errorf("%s of %s changed nothing: %v", b.word, b.path, err)
		}
		for _, word := range eval[[]string](may,
			`[...document.querySelectorAll(".heading .action, .stage-card .action, .notice .action")].map((b) => b.innerText)`) {
			if !slices.Contains(known[b.path], word) && !slices.Contains(w.twins(), b.path+" "+word) {
				t.Errorf("the button %s of %s is not tested", word, b.path)
			}
		}
	}
	looks.calm()
	may.calm()
}

// twins are buttons that are tested on another object.
func (w *webTest) twins() []string {
	twins := []string{"/canary/" + w.shop + "/podinfo Resume", "/objects/Kustomization/" + w.shop + "/shop Suspend",
		"/objects/Kustomization/" + w.shop + "/database Reconcile"}
	for _, name := range []string{"api", "paused"} {
		for _, word := range []string{"Pause", "Halt", "Promote", "Abort"} {
			twins = append(twins, "/canary/"+w.shop+"/"+name+" "+word)
		}
	}
	for _, word := range []string{"Hold", "Roll back", "Approve", "Promote"} {
		twins = append(twins, "/pipeline/"+w.shop+"/held "+word)
	}
	return twins
}

// refused is about the verbs of stages, which are rights of their own. It presses a button that nobody else presses: a
// command that waits to be taken up is objected to before the API server is asked.
func refused(t *testing.T, w *webTest) {
	p := w.visitor(t, w.shop, "patches", "get", "list", "watch", "patch")
	p.open("/pipeline/" + w.shop + "/shop")
	p.press(button{within: "#stage-production", word: "Hold"})
	p.says("dialog.confirm [role=alert]", "you need the verb hold on pipelines/production")
	p.accessible(w, "the question and the answer")
	p.calm()
}
