// SPDX-License-Identifier: Apache-2.0

import { Component, h, type ComponentChild, type FunctionComponent } from "preact";

/** A component that is drawn again only if its properties differ, or a signal that it reads. */
export function memo<P extends object>(of: FunctionComponent<P>, same: (before: P, after: P) => boolean): FunctionComponent<P> {
  class Memo extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      return !same(this.props, next);
    }
    override render(): ComponentChild {
      return h(of, this.props);
    }
  }
  return (props: P) => h(Memo, props);
}
