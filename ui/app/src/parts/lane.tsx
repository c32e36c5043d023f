// SPDX-License-Identifier: Apache-2.0

import type { Signal } from "@preact/signals";
import { memo } from "./memo";
import { useEffect, useRef, useState } from "preact/hooks";
import { store } from "../api/lanes";
import type { Cell, CellState, Lane, LaneStage } from "../api/types";
import { pageOf, pageOfCell, timelineOf } from "../links";
import { narrow } from "../width";
import { columnWords, stateWords } from "../words";
import { Age } from "./age";
import { Remedies } from "./command";
import { Mark } from "./mark";

/** What the height of a row depends on most: whether it says something, and what it has beside it. */
export function sortOf(lane: Lane | undefined): string {
  const said = lane && spoken(lane);
  const remedies = said?.remedies?.length ?? 0;
  return `${said ? `spoken ${remedies}` : "quiet"} ${lane?.stages.length ?? 0}`;
}

/** Height of a row before any of its sort was drawn, in pixels. */
export function estimate(sort: string): number {
  return sort.startsWith("quiet") ? 51 : 90;
}

/** What a lane says about itself: the cell or the stage that its state is about, if it needs a person. */
export function spoken(lane: Lane): Cell | LaneStage | undefined {
  if (lane.state !== "failed" && lane.state !== "waiting") return undefined;
  return lane.cells.find((cell) => cell.state === lane.state) ?? lane.stages.find((stage) => stage.state === lane.state);
}

/** Counts the changes of a value that are shown as a movement: not its first one, and none while much changes at once. */
function useMoves(value: string): number {
  const seen = useRef({ value, moves: 0 });
  if (seen.current.value !== value) seen.current = { value, moves: seen.current.moves + (store.busy ? 0 : 1) };
  return seen.current.moves;
}

interface RowProps {
  lane: Signal<Lane>;
  index: number;
  top: number;
  /** The position in the row that the tabulator goes to; -1 is none. */
  tabbed: number;
  measure: (key: string, element: HTMLElement | null) => void;
  onFocus: (cell: number) => void;
}

/** A lane: an application, and how its versions stand in each step. */
export const LaneRow = memo(
  function LaneRow(props: RowProps) {
    const lane = props.lane.value;
    const row = useRef<HTMLDivElement>(null);
    const [placed, setPlaced] = useState(false);
    useEffect(() => {
      props.measure(lane.key, row.current);
      setPlaced(true);
      return () => props.measure(lane.key, null);
    }, [lane.key]);
    const about = spoken(lane);
    const staged = lane.stages.length > 0;
    const tabbed = stopOf(lane, props.tabbed, narrow.value);
    const tab = (cell: number) => (tabbed === cell ? 0 : -1);
    return (
      <div
        ref={row}
        role="row"
        aria-rowindex={props.index + 2}
        data-key={lane.key}
        class={`lane is-${lane.state}${placed ? " placed" : ""}${staged && lane.cells[5]?.state === "none" ? " without-canary" : ""}`}
        style={{ transform: `translateY(${props.top}px)` }}
      >
        <div role="rowheader" aria-colindex={1} class="app">
          <a data-cell href={timelineOf(lane)} tabIndex={tab(0)} onFocus={() => props.onFocus(0)} title={`What happened to ${lane.name}`}>
            <strong>{lane.name}</strong>
            <small>{lane.namespace}</small>
          </a>
        </div>
        {lane.cells.map((cell, i) =>
          cell.column === "live" && staged ? (
            <StageCell key="live" lane={lane} first={i + 1} tabbed={tabbed} onFocus={props.onFocus} />
          ) : (
            <LaneCell
              key={cell.column}
              lane={lane}
              cell={cell}
              at={i + 2}
              next={nextOf(lane, i)}
              tabIndex={tab(i + 1)}
              onFocus={() => props.onFocus(i + 1)}
            />
          ),
        )}
        {about && <Spoken about={about} tabIndex={tabbed < 0 ? -1 : 0} />}
      </div>
    );
  },
  (a, b) => a.lane === b.lane && a.index === b.index && a.top === b.top && a.tabbed === b.tabbed,
);

/** Where in a row the tabulator comes to: in place of a cell that is not displayed, or is no more, to the first one. */
export function stopOf(lane: Lane, wanted: number, isNarrow: boolean): number {
  const stages = lane.stages.length;
  if (wanted < 0 || (stages > 0 && wanted >= lane.cells.length)) return wanted < lane.cells.length + stages ? wanted : 0;
  const cell = lane.cells[wanted - 1];
  const isHidden = cell?.state === "none" && (isNarrow || (stages > 0 && cell.column === "canary")); // whose room the stages have
  return cell === undefined || isHidden ? 0 : wanted;
}

/** The state of the step after a cell; undefined before the lane begins, and at its end. */
function nextOf(lane: Lane, at: number): CellState | undefined {
  const is = (cell: Cell) => cell.state !== "none";
  if (!lane.cells.slice(0, at + 1).some(is)) return undefined;
  return lane.cells.slice(at + 1).find(is)?.state ?? (lane.stages.length > 0 ? "ready" : undefined);
}

interface CellProps {
  lane: Lane;
  cell: Cell;
  /** Its column, from 1: not all cells of a row are displayed. */
  at: number;
  /** State of the step that a line leads to; undefined is none. */
  next: CellState | undefined;
  tabIndex: number;
  onFocus: () => void;
}

function LaneCell({ lane, cell, at, next, tabIndex, onFocus }: CellProps) {
  const identity = `${cell.value ?? ""} ${cell.state}`;
  const moves = useMoves(identity);
  const to = pageOfCell(lane, cell);
  const word = stateWords[cell.state];
  const says = cell.value || word;
  const body = (
    <>
      <Mark state={cell.state} silent />
      <span class="what" key={moves}>
        <span class="off-screen">{columnWords[cell.column]} </span>
        <span class="value">{says}</span>
        <small>
          {cell.state !== "ready" && says.toLowerCase() !== word && <b>{word} </b>}
          <Age since={cell.since} />
        </small>
      </span>
    </>
  );
  return (
    <div role="gridcell" aria-colindex={at} class={`cell is-${cell.state}${moves > 0 ? " moved" : ""}`} data-column={columnWords[cell.column]}>
      {cell.state === "none" ? (
        <span data-cell class="step" tabIndex={tabIndex} onFocus={onFocus}>
          <span class="off-screen">
            {columnWords[cell.column]}: {word}
          </span>
        </span>
      ) : to ? (
        <a data-cell class="step" href={to} tabIndex={tabIndex} onFocus={onFocus} title={titleOf(cell)}>
          {body}
        </a>
      ) : (
        <span data-cell class="step" tabIndex={tabIndex} onFocus={onFocus} title={titleOf(cell)}>
          {body}
        </span>
      )}
      {next && (
        <span class={`hop to-${next}`} aria-hidden="true">
          {moves > 0 && <i key={moves} />}
        </span>
      )}
    </div>
  );
}

function titleOf(cell: Cell): string {
  return [cell.full, cell.message].filter(Boolean).join("\n");
}

/** The stages of pipelines in place of the last step. */
function StageCell(props: { lane: Lane; first: number; tabbed: number; onFocus: (cell: number) => void }) {
  return (
    <div role="gridcell" aria-colindex={props.lane.cells.length + 1} class="cell stages" data-column="Stages">
      <span class="off-screen">Stages</span>
      {props.lane.stages.map((stage, i) => (
        <Stage
          key={`${stage.pipeline}/${stage.name}`}
          stage={stage}
          tabIndex={props.tabbed === props.first + i ? 0 : -1}
          onFocus={() => props.onFocus(props.first + i)}
        />
      ))}
    </div>
  );
}

function Stage({ stage, tabIndex, onFocus }: { stage: LaneStage; tabIndex: number; onFocus: () => void }) {
  const identity = `${stage.has ?? ""} ${stage.state}`;
  const moves = useMoves(identity);
  const since = stage.wants || stage.waitingSince ? stage.waitingSince : stage.since; // of its state: it does not wait since it has the version before
  const says = [stage.name, stage.has, stage.phase, stage.wants && `wants ${stage.wants}`, stage.message].filter(Boolean);
  return (
    <a
      data-cell
      class={`stage is-${stage.state}${moves > 0 ? " moved" : ""}`}
      href={pageOf({ kind: "Pipeline", namespace: stage.namespace, name: stage.pipeline })}
      tabIndex={tabIndex}
      onFocus={onFocus}
      title={says.join("\n")}
    >
      <Mark state={stage.state} silent />
      <span class="what" key={moves}>
        <span class="stage-name">{stage.name}</span>
        <span class="value">
          {stage.has ?? "–"}
          {stage.wants && (
            <span class="wants">
              {" "}
              <small>
                <Age since={stage.since} />
              </small>{" "}
              <span aria-hidden="true">←</span>
              <span class="off-screen">wants</span> {stage.wants}
            </span>
          )}
        </span>
        <small>
          {stage.state === "ready" ? <span class="off-screen">{stateWords.ready} </span> : <b>{stateWords[stage.state]} </b>}
          <Age since={since} />
        </small>
      </span>
    </a>
  );
}

/** Why a lane needs a person, since when, when it is tried again, and what to do. */
function Spoken({ about, tabIndex }: { about: Cell | LaneStage; tabIndex: number }) {
  const cell = "column" in about ? about : undefined;
  const since = "column" in about ? about.since : about.waitingSince;
  const where = cell ? columnWords[cell.column] : `Stage ${(about as LaneStage).name}`;
  return (
    <div role="gridcell" aria-colindex={9} class={`spoken is-${about.state}`}>
      <p>
        <b>
          {where} {stateWords[about.state]}
        </b>
        {since && (
          <span class="dim">
            {" "}
            <Age since={since} lasts />
          </span>
        )}
        {about.message && <>: {about.message}</>}
        {about.retry && <span class="dim"> · tried again {about.retry}</span>}
      </p>
      <Remedies of={about.remedies} tabIndex={tabIndex} />
    </div>
  );
}
