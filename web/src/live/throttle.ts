/** Calls soon, but not more often than every so many milliseconds; the last call is never lost. */
export interface Throttled {
  (): void;
  cancel(): void;
}

export function throttle(call: () => void, milliseconds: number, now: () => number = Date.now): Throttled {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last = -Infinity;
  const throttled = (() => {
    if (timer !== undefined) return;
    const wait = Math.max(0, last + milliseconds - now());
    timer = setTimeout(() => {
      timer = undefined;
      last = now();
      call();
    }, wait);
  }) as Throttled;
  throttled.cancel = () => {
    clearTimeout(timer);
    timer = undefined;
  };
  return throttled;
}
