/**
 * Time as the processor spends it on this thread. What other programs do to the clock on the wall does not count, so a limit in it means the same on a
 * machine that is busy.
 */
export function processorMilliseconds(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Watches the event loop of this thread; stop() says how much of the processor its longest turn took, in milliseconds. */
export function watchTurns(): { stop(): number } {
  let longest = 0, last = processorMilliseconds();
  const look = (): void => {
    const now = processorMilliseconds();
    longest = Math.max(longest, now - last);
    last = now;
  };
  const clock = setInterval(look, 1);
  return { stop() { clearInterval(clock); look(); return longest; } };
}
