// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// verb is a command that people give to a stage: what it may say, and what they read
// about it.
type verb struct {
	// name on the command line, and the verb of the annotation.
	name    string
	command sluicev1.CommandVerb
	// end means that it ends what the verb began.
	end bool
	// bundleFlag names the flag that says which bundle it is about; empty if it is about
	// none.
	bundleFlag string
	// lasts means that it is in force for a time, which may be given.
	lasts bool
	// asks means that a person has to confirm it: the stage is written.
	asks bool
	// needsReason means that it has to say why.
	needsReason bool
	short, long string
	example     string
}

// verbs are all commands to a stage.
var verbs = []verb{
	{
		name: "approve", command: sluicev1.CommandApprove, bundleFlag: "bundle", lasts: true,
		short: "Agree to what a stage waits for approval of",
		long: `Agree to the bundle that a stage wants, or to another one. The approval is about this
bundle alone: a newer one needs its own. Who asked for a promotion cannot approve it.`,
		example: `  sluice pipeline approve shop production -n apps --reason "tested by QA"`,
	},
	{
		name: "hold", command: sluicev1.CommandHold, lasts: true, needsReason: true,
		short: "Stop promotions to a stage",
		long: `Stop promotions to a stage until it is resumed, or for a time. What fails is taken back
all the same.`,
		example: `  sluice pipeline hold shop production -n apps --for 2h --reason "an incident"`,
	},
	{
		name: "resume", command: sluicev1.CommandHold, end: true,
		short: "End the hold of a stage",
		long: `End the hold of a stage, whether a person or a rollback held it. (To undo spec.suspend,
which stops the whole pipeline, edit the Pipeline.)`,
		example: `  sluice pipeline resume shop production -n apps`,
	},
	{
		name: "promote", command: sluicev1.CommandPromote, bundleFlag: "bundle", asks: true,
		short: "Give a stage a bundle although it would not get it by itself",
		long: `Give a stage a bundle without waiting for the stages before it and their soak: the one
that it wants, or else the newest that is in the stages before it, or the one of
--bundle. It waits for approvals, holds, windows and freezes; with --override not for
windows and freezes, which takes a right of its own.`,
		example: `  sluice pipeline promote shop production -n apps --bundle 1.4.2 --reason "a hotfix"`,
	},
	{
		name: "rollback", command: sluicev1.CommandRollback, bundleFlag: "to", asks: true, needsReason: true,
		short: "Give a stage an earlier bundle back, and hold it",
		long: `Give a stage the bundle back that was verified in it before, or another one that it
had, and hold the stage, so that it stays. It waits for nothing but windows that are about rollbacks.
sluice pipeline history lists what the stage had.`,
		example: `  sluice pipeline rollback shop production -n apps --reason "checkout is slow"
  sluice pipeline rollback shop production -n apps --to 1.3.9 --reason "checkout is slow"`,
	},
	{
		name: "override", command: sluicev1.CommandOverride, bundleFlag: "bundle", lasts: true, needsReason: true,
		short: "Open windows and freezes for one bundle",
		long: `Open the windows of a stage, and the freezes that select it, for the bundle that it
wants, or for another one.`,
		example: `  sluice pipeline override shop production -n apps --for 1h --reason "fixes the outage"`,
	},
	{
		name: "lift", command: sluicev1.CommandLift, bundleFlag: "bundle",
		short: "End the quarantine of a bundle, or confirm that promotions may go on",
		long: `End the quarantine of a bundle, so that it may be promoted again. Without --bundle it
is the only one that is in quarantine. That deploys nothing: sluice pipeline promote
gives the bundle to a stage again. Or, where the state branch of the pipeline is
gone, it confirms that promotions may go on although nobody knows what was in
quarantine.`,
		example: `  sluice pipeline lift shop -n apps --bundle 1.4.2 --reason "the database was at fault"`,
	},
}
