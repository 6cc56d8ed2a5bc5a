//! The parts of moments and durations.

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

use super::super::Outcome;
use super::super::value::Value;
use super::fail;

pub(super) fn call<'a>(name: &str, arguments: &[Value<'a>]) -> Outcome<Option<Value<'a>>> {
    Ok(match arguments {
        [Value::Duration(nanoseconds)] => {
            let unit = match name {
                "getHours" => 3_600_000_000_000,
                "getMinutes" => 60_000_000_000,
                "getSeconds" => 1_000_000_000,
                "getMilliseconds" => 1_000_000,
                _ => return Ok(None),
            };
            Some(Value::Int(nanoseconds / unit))
        }
        [Value::Timestamp(moment)] => part(name, &moment.to_zoned(TimeZone::UTC)),
        [Value::Timestamp(moment), Value::Text(zone)] => part(name, &at(*moment, zone)?),
        _ => None,
    })
}

/// The moment in a zone: `Europe/Berlin`, `UTC`, `+01:00`.
fn at(moment: Timestamp, zone: &str) -> Outcome<Zoned> {
    let fixed = || {
        let (sign, rest) = match zone.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, zone.strip_prefix('+').unwrap_or(zone)),
        };
        let (hours, minutes) = rest.split_once(':')?;
        let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
        Offset::from_seconds(sign * seconds).ok().map(TimeZone::fixed)
    };
    let found = if zone.is_empty() || zone == "UTC" {
        Some(TimeZone::UTC)
    } else if zone.contains(':') {
        fixed()
    } else {
        TimeZone::get(zone).ok()
    };
    found.map_or_else(|| fail(format!("unknown time zone {zone}")), |zone| Ok(moment.to_zoned(zone)))
}

fn part<'a>(name: &str, moment: &Zoned) -> Option<Value<'a>> {
    Some(Value::Int(match name {
        "getFullYear" => moment.year().into(),
        // From 0 where the calendar counts from 1, except for the date.
        "getMonth" => i64::from(moment.month()) - 1,
        "getDayOfYear" => i64::from(moment.day_of_year()) - 1,
        "getDayOfMonth" => i64::from(moment.day()) - 1,
        "getDate" => moment.day().into(),
        "getDayOfWeek" => moment.weekday().to_sunday_zero_offset().into(),
        "getHours" => moment.hour().into(),
        "getMinutes" => moment.minute().into(),
        "getSeconds" => moment.second().into(),
        "getMilliseconds" => moment.millisecond().into(),
        _ => return None,
    }))
}
