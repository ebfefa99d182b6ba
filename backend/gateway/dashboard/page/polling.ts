// Values that stay fresh: asked for again and again while the page is visible. A failure keeps the last value and says
// so; it must never make the page look healthier than what was last heard.

import { useEffect, useState } from 'preact/hooks';

import { LoginNeeded } from './gateway.js';

export interface Fresh<T> {
  /** The latest value; null before the first. */
  readonly value: T | null;
  /** Why the latest question failed; null when it did not. */
  readonly failure: string | null;
}

/**
 * @param ask - asks once; a new function starts over
 * @param everyMs - pause between an answer and the next question
 * @param onLoginNeeded - called when the token is not good any more
 */
export function usePolling<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  everyMs: number,
  onLoginNeeded: () => void,
): Fresh<T> {
  const [fresh, setFresh] = useState<Fresh<T>>({ value: null, failure: null });
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const turn = async (): Promise<void> => {
      try {
        if (!document.hidden) {
          const value = await ask(stop.signal);
          if (!stop.signal.aborted) setFresh({ value, failure: null });
        }
      } catch (error) {
        if (stop.signal.aborted) return;
        if (error instanceof LoginNeeded) {
          onLoginNeeded();
          return;
        }
        const failure = error instanceof Error ? error.message : String(error);
        setFresh((last) => ({ ...last, failure }));
      }
      if (!stop.signal.aborted) timer = setTimeout(() => void turn(), everyMs);
    };
    void turn();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [ask, everyMs, onLoginNeeded]);
  return fresh;
}
