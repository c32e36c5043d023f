// SPDX-License-Identifier: Apache-2.0

package metric

import "errors"

// connectKeptn refuses: the project was archived, and its metrics operator is where
// a query would have to go.
func connectKeptn(*connection) (querier, error) {
	return nil, errors.New("type: keptn is not served, because the project is archived; " +
		"ask the server that its KeptnMetrics read from, with a provider of that type")
}
