package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/spf13/cobra"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// image is the way of one policy's image from the registry to Git.
type image struct {
	Namespace  string     `json:"namespace"`
	Policy     string     `json:"policy"`
	Image      string     `json:"image,omitempty"`
	Tags       int        `json:"tags"`
	LastScan   *time.Time `json:"lastScan,omitempty"`
	Best       string     `json:"best,omitempty"`
	Chosen     string     `json:"chosen,omitempty"`
	Digest     string     `json:"digest,omitempty"`
	Automation string     `json:"automation,omitempty"`
	Written    string     `json:"written,omitempty"`
	Commit     string     `json:"commit,omitempty"`
	Ready      string     `json:"ready"`
	Message    string     `json:"message,omitempty"`
}

func getImagesCommand(cluster *kube) *cobra.Command {
	l := &listing{cluster: cluster}
	cmd := &cobra.Command{
		Use:     "images",
		Aliases: []string{"image"},
		Short:   "List images from their tags to the commit that writes them",
		Long: `List the image of every policy: how many tags there are, the best one by the
policy's order, the one that was chosen, the one that an automation has written to
Git, and its last commit. BEST and CHOSEN differ while the best tag is too young,
rejected or not signed: sluice explain policy says which.`,
		Example: `  sluice get images -A
  sluice get images -n apps -o wide`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return l.images(cmd) },
	}
	l.register(cmd)
	return cmd
}

func (l *listing) images(cmd *cobra.Command) error {
	c, where, err := l.connect()
	if err != nil {
		return err
	}
	var policies imagev1.ImagePolicyList
	var repositories imagev1.ImageRepositoryList
	var automations imagev1.ImageUpdateAutomationList
	for _, step := range []struct {
		into  client.ObjectList
		where []client.ListOption
	}{{&policies, where}, {&automations, where}, {&repositories, where}} {
		if err := list(cmd, c, step.into, step.where); err != nil {
			return err
		}
	}
	byKey := map[client.ObjectKey]*imagev1.ImageRepository{}
	for i := range repositories.Items {
		byKey[client.ObjectKeyFromObject(&repositories.Items[i])] = &repositories.Items[i]
	}
	images := []image{}
	t := table{columns: []string{
		"NAMESPACE", "POLICY", "IMAGE", "TAGS", "BEST", "CHOSEN", "WRITTEN", "COMMIT", "READY",
		"LAST SCAN", "AUTOMATION", "DIGEST", "MESSAGE"}, wide: 9}
	for i := range policies.Items {
		p := &policies.Items[i]
		found := imageOfPolicy(p)
		if repo := byKey[repositoryKey(p)]; repo != nil {
			found.scanned(repo)
		}
		found.written(p, automations.Items)
		images = append(images, found)
		t.add(found.row()...)
	}
	return l.print(cmd, t, images)
}

// repositoryKey names the ImageRepository of a policy.
func repositoryKey(p *imagev1.ImagePolicy) client.ObjectKey {
	key := client.ObjectKey{Namespace: p.Spec.ImageRepositoryRef.Namespace, Name: p.Spec.ImageRepositoryRef.Name}
	if key.Namespace == "" {
		key.Namespace = p.Namespace
	}
	return key
}

func imageOfPolicy(p *imagev1.ImagePolicy) image {
	found := image{Namespace: p.Namespace, Policy: p.Name, Ready: "Unknown"}
	if ref := p.Status.LatestRef; ref != nil {
		found.Image, found.Chosen, found.Digest = ref.Name, ref.Tag, ref.Digest
	}
	if d := p.Status.Decision; d != nil {
		found.Tags = d.Total
		if len(d.Candidates) > 0 {
			found.Best = d.Candidates[0].Tag
		}
	}
	if ready := apimeta.FindStatusCondition(p.Status.Conditions, meta.ReadyCondition); ready != nil {
		found.Ready, found.Message = string(ready.Status), ready.Message
	}
	return found
}

func (i *image) scanned(repo *imagev1.ImageRepository) {
	i.Image = repo.Spec.Image
	if scan := repo.Status.LastScanResult; scan != nil {
		i.Tags, i.LastScan = scan.TagCount, &scan.ScanTime.Time
	}
}

// written finds the automation that wrote the policy last.
func (i *image) written(p *imagev1.ImagePolicy, automations []imagev1.ImageUpdateAutomation) {
	for _, a := range automations {
		ref, ok := a.Status.ObservedPolicies[p.Name]
		if a.Namespace != p.Namespace || !ok {
			continue
		}
		i.Automation, i.Written, i.Commit = a.Name, ref.Tag, a.Status.LastPushCommit
		if p.Status.LatestRef != nil && ref == *p.Status.LatestRef {
			return // rather this one than one that lags behind
		}
	}
}

func (i *image) row() []string {
	seen := ""
	if i.LastScan != nil {
		seen = duration.HumanDuration(time.Since(*i.LastScan)) + " ago"
	}
	return []string{
		i.Namespace, i.Policy, i.Image, strconv.Itoa(i.Tags), i.Best, i.Chosen, i.Written, short(i.Commit), i.Ready,
		seen, i.Automation, i.Digest, i.Message,
	}
}

// short is a commit as people write it.
func short(commit string) string {
	return fmt.Sprintf("%.7s", commit)
}
