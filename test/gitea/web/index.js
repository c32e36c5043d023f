// SPDX-License-Identifier: Apache-2.0

// In place of Gitea's own script, which is not part of its Go module and takes a
// JavaScript toolchain to build: what a person needs to read a pull request, approve it
// and merge it. Pages work by forms; those that Gitea sends in the background answer
// with where to go next, or with what went wrong.

async function send(element, url, body) {
	const response = await fetch(url, {method: 'POST', body});
	const text = await response.text();
	let answer = {};
	try {
		answer = JSON.parse(text);
	} catch {
		// a page, and not an answer for a script
	}
	if (!response.ok) {
		complain(element, answer.errorMessage || answer.message || `${response.status} ${response.statusText}`);
	} else if (answer.redirect && new URL(answer.redirect, location).pathname !== location.pathname) {
		location.assign(answer.redirect);
	} else {
		location.reload();
	}
}

// complain shows, beside what was pressed, why the server refused.
function complain(element, text) {
	let message = element.parentElement.querySelector(':scope > .negative.message');
	if (!message) {
		message = document.createElement('div');
		message.className = 'ui negative message';
		element.before(message);
	}
	message.textContent = text;
}

// mergeForm draws the buttons of a pull request, one for each style that is allowed. The
// page says in mergeForm what is allowed, and whether it can be merged now or only once
// all checks have succeeded.
function mergeForm(root, page) {
	const styles = page.mergeStyles.filter((style) => style.allowed);
	styles.sort((a, b) => (b.name === page.defaultMergeStyle) - (a.name === page.defaultMergeStyle));
	const form = document.createElement('form');
	form.className = 'ui form';
	for (const style of styles) {
		if (!page.canMergeNow && style.hideAutoMerge) continue;
		const button = document.createElement('button');
		button.className = `ui button ${style === styles[0] ? 'primary' : 'basic'}`;
		button.textContent = page.canMergeNow ? style.textDoMerge : page.textAutoMergeButtonWhenSucceed + ' (' + style.textDoMerge + ')';
		button.addEventListener('click', (event) => {
			event.preventDefault();
			const body = new FormData();
			body.append('do', style.name);
			body.append('head_commit_id', page.pullHeadCommitID);
			body.append('merge_title_field', style.mergeTitleFieldText || '');
			body.append('merge_message_field', style.mergeMessageFieldText || '');
			if (!page.canMergeNow) body.append('merge_when_checks_succeed', 'true');
			if (page.canMergeNow && !page.allOverridableChecksOk) body.append('force_merge', 'true');
			if (page.isPullBranchDeletable && page.defaultDeleteBranchAfterMerge) body.append('delete_branch_after_merge', 'true');
			send(form, `${page.baseLink}/merge`, body);
		});
		form.append(button);
	}
	if (page.hasPendingPullRequestMerge) {
		const pending = document.createElement('p');
		pending.innerHTML = page.hasPendingPullRequestMergeTip; // from the server, and escaped there
		form.prepend(pending);
	}
	root.append(form);
}

document.addEventListener('submit', (event) => {
	const form = event.target.closest('.form-fetch-action');
	if (!form || form.method !== 'post') return;
	event.preventDefault();
	const body = new FormData(form, event.submitter);
	send(form, form.getAttribute('action') || location.href, body);
});

document.addEventListener('click', (event) => {
	const link = event.target.closest('.link-action');
	if (link) {
		event.preventDefault();
		send(link, link.dataset.url, new FormData());
		return;
	}
	if (event.target.closest('.js-btn-review')) document.querySelector('.review-box-panel').classList.toggle('shown');
	const opened = event.target.closest('.ui.dropdown');
	for (const dropdown of document.querySelectorAll('.ui.dropdown')) {
		dropdown.classList.toggle('shown', dropdown === opened && (event.target.closest('.menu') || !dropdown.classList.contains('shown')));
	}
});

const root = document.querySelector('#pull-request-merge-form');
if (root) mergeForm(root, window.config.pageData.pullRequestMergeForm);

// What the server is still finding out, it has found out in a moment.
if (document.querySelector('[data-pull-merge-box-reloading-interval]')) setTimeout(() => location.reload(), 1000);
