// SPDX-License-Identifier: Apache-2.0

// Package report holds what clients of Sluice are told, as types whose JSON is a
// contract: `sluice ... -o json|yaml` prints it, and a user interface reads the same.
// docs/report.md documents every field, and a test holds the page to the types.
//
//	objects of the API server ---+
//	tags, files (if asked for) --+--> report --> JSON, YAML, tables, a page
//
//	Image        the way of an image from the registry to Git    (sluice get images)
//	Automation   what an automation has written                  (sluice get automations)
//	Canary       where a release stands, and what holds it       (sluice canary get)
//	Pipeline     what each stage has, wants and waits for        (sluice pipeline get)
//	Freeze       whether pipelines are frozen                    (sluice get freezes)
//	Explanation  why a policy chose a tag, and not another one   (sluice explain policy)
//	Lane         the way of an application's versions, in steps  (sluice ui)
//	Markers      what becomes of every setter marker             (sluice explain automation)
//
// The package is pure: whoever calls it reads the objects and brings the time. Texts
// that have no line breaks of their own may still hold any character that a user put
// into an object; whoever prints them to a terminal has to clean them.
//
// Fields are added, and neither renamed nor removed. A field that says nothing is left
// out, except numbers that count something; a list that has no elements is [].
package report
