/** What copies ask for, added up by person. */
import type { CopyUsage } from "../api/contract";

export interface Sum {
  who: string;
  copies: number;
  pods: number;
  milliCpu: number;
  memory: number;
  cpuHours: number;
  memoryHours: number;
}

/** Those that ask for most first. Copies that are nobody's own are those of the team. */
export function byOwner(copies: CopyUsage[], team: string): Sum[] {
  const sums = new Map<string, Sum>();
  for (const one of copies) {
    const who = one.owner ?? team;
    const sum = sums.get(who) ?? { who, copies: 0, pods: 0, milliCpu: 0, memory: 0, cpuHours: 0, memoryHours: 0 };
    sum.copies += 1;
    sum.pods += one.pods;
    sum.milliCpu += one.milliCpu;
    sum.memory += one.memory;
    sum.cpuHours += one.cpuHours;
    sum.memoryHours += one.memoryHours;
    sums.set(who, sum);
  }
  return [...sums.values()].sort((a, b) => b.cpuHours - a.cpuHours || b.memoryHours - a.memoryHours || a.who.localeCompare(b.who));
}

/** `0.25`, `12`: cores. */
export function cores(milliCpu: number): string {
  return (milliCpu / 1000).toLocaleString("en", { maximumFractionDigits: 2 });
}

/** `512 MiB`, `1.5 GiB`. */
export function bytes(memory: number): string {
  const mebibytes = memory / 2 ** 20;
  if (mebibytes < 1024) return `${Math.round(mebibytes).toLocaleString("en")} MiB`;
  return `${(mebibytes / 1024).toLocaleString("en", { maximumFractionDigits: 1 })} GiB`;
}

/** Cores or GiB for so many hours. */
export function hours(amount: number): string {
  return amount.toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
}
