// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/apply/decide"
)

func TestWhoseFieldsAreTakenOver(t *testing.T) {
	apply, update := metav1.ManagedFieldsOperationApply, metav1.ManagedFieldsOperationUpdate
	restart := `{"f:spec":{"f:template":{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/restartedAt":{}}}}}}`
	tests := map[string]struct {
		entry metav1.ManagedFieldsEntry
		want  bool
	}{
		"kubectl edit":                        {managed("kubectl-edit", update, "", `{"f:data":{"f:x":{}}}`), true},
		"kubectl patch":                       {managed("kubectl-patch", update, "", `{"f:data":{"f:x":{}}}`), true},
		"kubectl apply":                       {managed("kubectl-client-side-apply", update, "", `{"f:data":{}}`), true},
		"kubectl apply --server-side":         {managed("kubectl", apply, "", `{"f:data":{}}`), true},
		"what was there before the first":     {managed("before-first-apply", update, "", `{"f:data":{}}`), true},
		"ourselves before server-side apply":  {managed(profile.FieldManager, update, "", `{"f:data":{}}`), true},
		"ourselves":                           {managed(profile.FieldManager, apply, "", `{"f:data":{}}`), false},
		"kubectl scale of what has no number": {managed("kubectl", update, "scale", `{"f:spec":{"f:replicas":{}}}`), false},
		"an autoscaler":                       {managed("kube-controller-manager", update, "scale", `{"f:spec":{"f:replicas":{}}}`), false},
		"another controller's apply":          {managed("cert-manager", apply, "", `{"f:data":{}}`), false},
		"who asks to keep what he adds":       {managed("flux-client-side-apply", update, "", `{"f:data":{}}`), false},
		"kubectl rollout restart":             {managed("kubectl-rollout", update, "", restart), false},
		"a request for a reconcile": {
			managed("kubectl-annotate", update, "", `{"f:metadata":{"f:annotations":{".":{},"f:reconcile.fluxcd.io/requestedAt":{}}}}`),
			false,
		},
		"a request among other annotations": {
			managed("kubectl-annotate", update, "", `{"f:metadata":{"f:annotations":{"f:mine":{},"f:reconcile.fluxcd.io/requestedAt":{}}}}`),
			true,
		},
		"fields that nobody can read":      {managed("kubectl-edit", update, "", `{`), true},
		"kubectl rollout pause":            {managed("kubectl-rollout", update, "", `{"f:spec":{"f:paused":{}}}`), true},
		"a restart under a different name": {managed("kubectl-patch", update, "", restart), false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, former, _ := observer.readManagers(&metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{tc.entry}}, nil, nil)
			if got := former != ""; got != tc.want {
				t.Errorf("taken over = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestWhomTheOperatorOverrules(t *testing.T) {
	overruling := *profile
	overruling.OverriddenManagers = []string{"k9s", "node-fetch"}
	o := NewObserver(&overruling)
	for manager, want := range map[string]bool{"k9s": true, "k9s-edit": true, "node-fetch": true, "kubectl-edit": true, "helm": false} {
		for _, how := range []metav1.ManagedFieldsOperationType{metav1.ManagedFieldsOperationApply, metav1.ManagedFieldsOperationUpdate} {
			_, former, _ := o.readManagers(&metav1.ObjectMeta{
				ManagedFields: []metav1.ManagedFieldsEntry{managed(manager, how, "", `{"f:data":{"f:x":{}}}`)},
			}, nil, nil)
			if got := former != ""; got != want {
				t.Errorf("%s, %s: taken over = %v, want %v", manager, how, got, want)
			}
		}
	}
}

func TestOnlyWhatSomebodyDidIsAChange(t *testing.T) {
	object := func(change func(*decide.LiveObject)) *decide.LiveObject {
		o := seen("a", "1", "Current")
		o.Labels = profile.Labels(owner)
		if change != nil {
			change(o)
		}
		return o
	}
	other := profile.Owner("ns", "other")
	tests := map[string]struct {
		after                *decide.LiveObject
		wantOwner, wantOther int
	}{
		"a status":                 {after: object(func(o *decide.LiveObject) { o.ResourceVersion, o.Status = "2", "InProgress" })},
		"a field of ours":          {after: object(func(o *decide.LiveObject) { o.FieldHash = "less" }), wantOwner: 1},
		"a field from kubectl":     {after: object(func(o *decide.LiveObject) { o.FormerHash = "kubectl-edit" }), wantOwner: 1},
		"another owner":            {after: object(func(o *decide.LiveObject) { o.Labels = profile.Labels(other) }), wantOwner: 1, wantOther: 1},
		"another of the same name": {after: object(func(o *decide.LiveObject) { o.UID = "other" }), wantOwner: 1},
		"an annotation":            {after: object(func(o *decide.LiveObject) { o.Annotations = map[string]string{"a": "b"} }), wantOwner: 1},
		"the owner's labels":       {after: object(func(o *decide.LiveObject) { o.Labels = nil }), wantOwner: 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := &Informers{observer: observer, owners: map[decide.Owner]*Subscription{}}
			ofOwner, ofOther := &recorder{}, &recorder{}
			s.Subscribe(owner, ofOwner)
			s.Subscribe(other, ofOther)
			s.handle(deployments, object(nil), tc.after, decide.Fresh)
			if len(ofOwner.changes) != tc.wantOwner || len(ofOther.changes) != tc.wantOther {
				t.Errorf("told the owner %v, another one %v", ofOwner.changes, ofOther.changes)
			}
		})
	}
}
