// SPDX-License-Identifier: Apache-2.0

// What the screens of one object have in common.

import type { ComponentChildren } from "preact";
import type { Resource } from "../api/resource";
import type { Condition, Event, ObjectReference, Property } from "../api/types";
import { session } from "../api/session";
import { pageOf, plainPageOf } from "../links";
import { Age, Moment } from "./age";
import { Mark, stateOf } from "./mark";
import type { CellState } from "../api/types";
import { newestFirst, stateWords } from "../words";

/** Name, state and buttons of an object. */
export function Heading(props: {
  kind: string;
  namespace: string;
  name: string;
  state: CellState;
  word?: string | undefined;
  /** The screen is that of all kinds. */
  plain?: boolean;
  children?: ComponentChildren;
}) {
  return (
    <div class="heading">
      <div>
        <p class="dim kind">
          {props.kind} <span aria-hidden="true">·</span> {props.namespace || "of the cluster"}
          {!props.plain && (
            <>
              {" "}
              <span aria-hidden="true">·</span> <a href={plainPageOf(props)}>Conditions, events, YAML</a>
            </>
          )}
        </p>
        <div class="named">
          <h1>{props.name}</h1>
          <p class={`state is-${props.state}`}>
            <Mark state={props.state} silent /> {props.word || stateWords[props.state]}
          </p>
        </div>
      </div>
      <div class="buttons">{props.children}</div>
    </div>
  );
}

/** What an object says about itself, behind what it is about. */
export function Said({ message }: { message: string | undefined }) {
  if (!message) return null;
  return (
    <>
      {" "}
      <span class="dim">·</span> <span class="message">{message}</span>
    </>
  );
}

/** Draws what was read, or says why it was not. What was read before stays, with the error above it. */
export function Loaded<T>(props: { of: Resource<T>; what: string; children: (data: T) => ComponentChildren }) {
  const { data, error } = props.of;
  return (
    <>
      {error && (
        <p role="alert" class="error">
          {props.what}: {error}
        </p>
      )}
      {data !== undefined ? (
        props.children(data)
      ) : (
        !error && (
          <p class="empty dim" role="status">
            Reading {props.what}…
          </p>
        )
      )}
    </>
  );
}

/** A part of a screen with a title. */
export function Panel(props: { title: string; aside?: ComponentChildren; class?: string; children: ComponentChildren }) {
  return (
    <section class={`panel ${props.class ?? ""}`} aria-label={props.title}>
      <h2>
        {props.title}
        {props.aside && <span class="dim aside">{props.aside}</span>}
      </h2>
      {props.children}
    </section>
  );
}

/** Plain words about how an object works. */
export function Properties({ of }: { of: readonly Property[] }) {
  return (
    <dl class="properties">
      {of.map((property, i) => (
        <div key={i}>
          <dt>{property.name}</dt>
          <dd>
            {property.object ? (
              <>
                {property.text.slice(0, property.text.lastIndexOf(property.object.kind))}
                <ObjectLink to={property.object} />
              </>
            ) : (
              property.text
            )}
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** Conditions that are bad when they are true. */
const negative = new Set(["Stalled", "Reconciling"]);

function conditionState(condition: Condition): CellState {
  if (condition.type === "Reconciling") return condition.status === "True" ? "moving" : "ready";
  if (negative.has(condition.type)) return condition.status === "True" ? "failed" : "ready";
  return stateOf(condition.status);
}

export function Conditions({ of }: { of: readonly Condition[] }) {
  if (of.length === 0) return <p class="dim">None yet: no controller has looked at it.</p>;
  return (
    <ul class="conditions">
      {of.map((condition) => (
        <li key={condition.type}>
          <Mark state={conditionState(condition)} silent />
          <div>
            <b>{condition.type}</b> {condition.status} <span class="dim">· {condition.reason} · </span>
            <Age since={condition.since} />
            <p>{condition.message}</p>
          </div>
        </li>
      ))}
    </ul>
  );
}

/** Events, the newest first, or why they are not known. */
export function Events({ of, problem }: { of: readonly Event[]; problem: string | undefined }) {
  if (problem) return <p class="bad">Not known: {problem}</p>;
  if (of.length === 0) return <p class="dim">None that the cluster still keeps; it forgets them after an hour.</p>;
  return (
    <ol class="events">
      {newestFirst(of).map((event, i) => (
        <li key={i} class={event.type === "Warning" ? "warning" : ""}>
          <Moment at={event.time} />
          <span>
            {event.type === "Warning" && <b>Warning </b>}
            {event.reason && <span class="dim">{event.reason}: </span>}
            {event.message}
            {event.count > 1 && <span class="dim"> ×{event.count}</span>}
          </span>
        </li>
      ))}
    </ol>
  );
}

/** A link to an object, or its name alone if its kind has no screen. */
export function ObjectLink({ to, label }: { to: ObjectReference; label?: string }) {
  const text = label ?? `${to.kind} ${to.namespace ? `${to.namespace}/` : ""}${to.name}`;
  return session.value?.kinds.includes(to.kind) ? <a href={pageOf(to)}>{text}</a> : <span>{text}</span>;
}
