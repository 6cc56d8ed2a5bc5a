/** Long words that have places where they may go on in the next line. */
import type { ComponentChildren } from "preact";

/** The pieces of a text, with a place to break between each two. */
function broken(pieces: string[]): ComponentChildren {
  return pieces.flatMap((piece, index) => (index === 0 ? [piece] : [<wbr key={index} />, piece]));
}

/** `Environment/seaway/staging` and `environment.sync`: after each part. */
export function breakableName(text: string): ComponentChildren {
  return broken(text.split(/(?<=[./])/));
}

/** JSON without blanks is one word to a browser: where it is long it goes on in the next line between two fields. */
export function breakableLine(text: string): ComponentChildren {
  return /\S{40}/.test(text) ? broken(text.split(/(?<=[,&;])(?=\S)/)) : text;
}
