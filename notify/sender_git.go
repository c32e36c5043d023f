package notify

import "context"

// gitHub signs the body; new servers do so twice, and the better one counts.
func gitHub(_ context.Context, _ *Hooks, m message) (notice, error) {
	signature := m.header.Get("X-Hub-Signature-256")
	if signature == "" {
		signature = m.header.Get("X-Hub-Signature")
	}
	if err := signed(signature, m); err != nil {
		return refuse("X-Hub-Signature: %v", err)
	}
	return notice{event: m.header.Get("X-GitHub-Event")}, nil
}

// gitLab sends the token itself.
func gitLab(_ context.Context, _ *Hooks, m message) (notice, error) {
	if !same([]byte(m.header.Get("X-Gitlab-Token")), m.token()) {
		return refuse("X-Gitlab-Token is not the token of the receiver")
	}
	return notice{event: m.header.Get("X-Gitlab-Event")}, nil
}

// bitbucket is Bitbucket Server, which signs as GitHub does.
func bitbucket(_ context.Context, _ *Hooks, m message) (notice, error) {
	if err := signed(m.header.Get("X-Hub-Signature"), m); err != nil {
		return refuse("X-Hub-Signature: %v", err)
	}
	return notice{event: m.header.Get("X-Event-Key")}, nil
}
