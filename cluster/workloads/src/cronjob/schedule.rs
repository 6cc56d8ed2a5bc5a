//! When a CronJob runs: five fields or a descriptor, in a time zone.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

/// How far the next time is looked for: a leap day comes at least every eight years.
const HORIZON_DAYS: u32 = 8 * 366 + 1;

/// The times of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Schedule {
    Times(Times),
    Every(Duration),
}

/// Sets of numbers as bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Times {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both day fields must fit when one of them is `*`; otherwise one is enough.
    both_days: bool,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Schedule {
    /// Reads a schedule; `None` when it cannot be read (validation refuses such ones).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        if let Some(duration) = text.strip_prefix("@every ") {
            return Some(Self::Every(parse_duration(duration)?.max(Duration::from_secs(1))));
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else { return None };
        let is_any = |field: &str| field.split(',').any(|part| matches!(part, "*" | "?" | "*/1" | "?/1"));
        Some(Self::Times(Times {
            minutes: set(minutes, 0, 59, &[], 0)?,
            hours: set(hours, 0, 23, &[], 0)?,
            days: set(days, 1, 31, &[], 0)?,
            months: set(months, 1, 12, &MONTHS, 1)?,
            weekdays: set(weekdays, 0, 6, &WEEKDAYS, 0)?,
            both_days: is_any(days) || is_any(weekdays),
        }))
    }

    /// The first time after a moment.
    pub(super) fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Every(pause) => {
                let whole = Timestamp::from_second(after.as_second()).ok()?;
                whole.checked_add(SignedDuration::try_from(*pause).ok()?).ok()
            }
            Self::Times(times) => times.next(after, zone),
        }
    }

    /// The last time in (`after`, `until`], and whether there were more than a hundred.
    pub(super) fn last_between(
        &self,
        after: Timestamp,
        until: Timestamp,
        zone: &TimeZone,
    ) -> (Option<Timestamp>, bool) {
        let run = |from: Timestamp, most: usize| {
            let mut last = None;
            let mut from = from;
            for count in 0.. {
                match self.next(from, zone).filter(|t| *t <= until) {
                    None => return (last, false),
                    Some(_) if count == most => return (last, true),
                    Some(time) => (last, from) = (Some(time), time),
                }
            }
            (last, false)
        };
        let (last, many) = run(after, 100);
        if !many {
            return (last, false);
        }
        // Very many were missed: the last of them lies near the end, so it is looked for from there.
        for hours in [1, 24, 32 * 24] {
            let from = until.checked_sub(SignedDuration::from_hours(hours)).unwrap_or(after).max(after);
            if let (Some(last), _) = run(from, usize::MAX) {
                return (Some(last), true);
            }
        }
        (run(after, usize::MAX).0, true)
    }
}

impl Times {
    fn fits_day(&self, date: Date) -> bool {
        let has = |set: u64, number: i8| set & (1 << number) != 0;
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        has(self.months, date.month()) && if self.both_days { day && weekday } else { day || weekday }
    }

    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut date = zone.to_datetime(after).date();
        for _ in 0..HORIZON_DAYS {
            if self.fits_day(date) {
                for hour in (0..24i8).filter(|h| self.hours & (1 << h) != 0) {
                    for minute in (0..60i8).filter(|m| self.minutes & (1 << m) != 0) {
                        let civil = date.at(hour, minute, 0, 0);
                        let Ok(time) = zone.to_timestamp(civil) else { continue };
                        // Times that a change of the clock leaves out do not take place.
                        if time > after && zone.to_datetime(time) == civil {
                            return Some(time);
                        }
                    }
                }
            }
            date = date.checked_add(1.day()).ok()?;
        }
        None
    }
}

/// Reads lists of ranges with steps: `1,5-10/2,*/15`. `base` is the number of the first name.
fn set(field: &str, low: u32, high: u32, names: &[&str], base: u32) -> Option<u64> {
    let number = |text: &str| -> Option<u32> {
        let named = names.iter().position(|n| n.eq_ignore_ascii_case(text));
        match named {
            Some(position) => Some(u32::try_from(position).ok()? + base),
            None => text.parse().ok(),
        }
    };
    let mut bits = 0;
    for part in field.split(',').filter(|p| !p.is_empty()) {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u32>().ok().filter(|s| *s > 0)?)),
            None => (part, None),
        };
        let (first, last) = match range {
            "*" | "?" => (low, high),
            _ => match range.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None if step.is_some() => (number(range)?, high),
                None => (number(range)?, number(range)?),
            },
        };
        if first < low || last > high || first > last {
            return None;
        }
        for n in (first..=last).step_by(usize::try_from(step.unwrap_or(1)).ok()?) {
            bits |= 1 << n;
        }
    }
    Some(bits)
}

/// Reads `1h30m`, `90s`, `1.5h`.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let amount: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(amount * unit).ok()?)?;
        rest = &rest[end..];
    }
    Some(total)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn times(schedule: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(schedule).unwrap();
        let zone = TimeZone::get(zone).unwrap();
        let mut from: Timestamp = after.parse().unwrap();
        (0..count)
            .map_while(|_| {
                from = schedule.next(from, &zone)?;
                Some(from.to_string())
            })
            .collect()
    }

    #[test]
    fn fields_say_when() {
        let next = |schedule: &str| times(schedule, "UTC", "2026-01-01T00:00:00Z", 2);
        assert_eq!(next("*/15 * * * *"), ["2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"]);
        assert_eq!(next("5 4 * * *"), ["2026-01-01T04:05:00Z", "2026-01-02T04:05:00Z"]);
        assert_eq!(next("0 9-17/4 * * MON-fri"), ["2026-01-01T09:00:00Z", "2026-01-01T13:00:00Z"]);
        assert_eq!(next("0 0 29 2 *"), ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]);
        assert_eq!(next("30/10 0 1 jul ?"), ["2026-07-01T00:30:00Z", "2026-07-01T00:40:00Z"]);
        assert_eq!(next("@weekly"), ["2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"]);
        assert_eq!(next("@every 1h30m"), ["2026-01-01T01:30:00Z", "2026-01-01T03:00:00Z"]);
        assert!(next("0 0 31 2 *").is_empty());
        for broken in
            ["", "* * * *", "60 * * * *", "* * 0 * *", "*/0 * * * *", "5-1 * * * *", "@every x", "@soon"]
        {
            assert_eq!(Schedule::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn one_of_two_given_days_is_enough() {
        // The 13th, or a Friday.
        let days = times("0 0 13 * 5", "UTC", "2026-01-01T00:00:00Z", 3);
        assert_eq!(days, ["2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z"]);
        // With a star in one field both must fit.
        let days = times("0 0 */2 * 5", "UTC", "2026-01-01T00:00:00Z", 2);
        assert_eq!(days, ["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"]);
        let days = times("0 0 * * 5", "UTC", "2026-01-01T00:00:00Z", 2);
        assert_eq!(days, ["2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z"]);
    }

    #[test]
    fn zones_shift_and_skip() {
        let zone = "Europe/Berlin";
        assert_eq!(times("0 8 * * *", zone, "2026-07-01T00:00:00Z", 1), ["2026-07-01T06:00:00Z"]);
        // 02:30 does not exist on the day when the clock goes forward.
        assert_eq!(
            times("30 2 * * *", zone, "2026-03-28T00:00:00Z", 2),
            ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"]
        );
    }

    #[test]
    fn the_last_missed_time_is_found_also_after_a_long_absence() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let last = |schedule: &str, after: &str, until: &str| {
            let (last, many) =
                Schedule::parse(schedule).unwrap().last_between(at(after), at(until), &TimeZone::UTC);
            (last.map(|t| t.to_string()), many)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            last("0 * * * *", "2026-01-01T00:30:00Z", "2026-01-01T03:30:00Z"),
            (some("2026-01-01T03:00:00Z"), false)
        );
        assert_eq!(last("0 * * * *", "2026-01-01T00:30:00Z", "2026-01-01T00:45:00Z"), (None, false));
        assert_eq!(
            last("* * * * *", "2020-01-01T00:00:00Z", "2026-01-01T03:30:30Z"),
            (some("2026-01-01T03:30:00Z"), true)
        );
        assert_eq!(
            last("0 0 1 * *", "2010-01-15T00:00:00Z", "2026-03-20T00:00:00Z"),
            (some("2026-03-01T00:00:00Z"), true)
        );
    }
}
