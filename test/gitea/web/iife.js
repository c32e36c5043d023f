// SPDX-License-Identifier: Apache-2.0

// What Gitea's pages ask while they are being built, in place of its own script that
// remembers what a person has opened and closed: here everybody has the defaults.
window.localUserSettings = {
	getBoolean: (name, fallback = false) => fallback,
	getString: (name, fallback = '') => fallback,
	getJsonObject: (name, fallback = {}) => fallback,
	setString: () => {},
	setJsonObject: () => {},
};
