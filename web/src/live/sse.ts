/** Reads the text of server-sent events, in whatever pieces it arrives. */

export interface SseMessage {
  event: string;
  data: string;
  id?: string;
}

/** Longest line that is kept: what has no end must not fill the memory. */
const LONGEST = 1 << 20;

export class SseParser {
  private rest = "";
  private event = "";
  private data: string[] = [];
  private id: string | undefined;

  /** The messages that this piece completes. */
  push(piece: string): SseMessage[] {
    const messages: SseMessage[] = [];
    const lines = (this.rest + piece).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? "";
    if (this.rest.length > LONGEST) this.rest = "";
    for (const line of lines) {
      const message = this.line(line);
      if (message) messages.push(message);
    }
    return messages;
  }

  private line(line: string): SseMessage | undefined {
    if (line === "") {
      const message = this.data.length > 0 || this.id !== undefined
        ? { event: this.event || "message", data: this.data.join("\n"), id: this.id }
        : undefined;
      this.event = "";
      this.data = [];
      this.id = undefined;
      return message;
    }
    if (line.startsWith(":")) return undefined;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") this.event = value;
    else if (field === "data") this.data.push(value);
    else if (field === "id") this.id = value;
    return undefined;
  }
}
