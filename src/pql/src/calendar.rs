//! Days, months and time zones.

use jiff::{
    SignedDuration, Timestamp, ToSpan as _,
    civil::{Date, DateTime, Weekday},
    tz::TimeZone,
};

use crate::ast::Unit;

/// Microseconds of a day of 24 hours.
const DAY: i64 = 86_400_000_000;

/// When an evaluation takes place, and by which calendar.
#[derive(Clone, Debug)]
pub struct Clock {
    now: i64,
    zone: TimeZone,
    week_start: Weekday,
}

impl Clock {
    /// The time in microseconds since 1970, by UTC and weeks that begin on Sunday.
    pub fn new(now: i64) -> Self {
        Self {
            now,
            zone: TimeZone::UTC,
            week_start: Weekday::Sunday,
        }
    }

    /// The same by the days of another time zone.
    #[must_use]
    pub fn in_zone(mut self, zone: TimeZone) -> Self {
        self.zone = zone;
        self
    }

    /// The same with weeks that begin on another day.
    #[must_use]
    pub fn week_from(mut self, day: Weekday) -> Self {
        self.week_start = day;
        self
    }

    /// The time of the evaluation in microseconds since 1970.
    pub fn now(&self) -> i64 {
        self.now
    }

    fn is_utc(&self) -> bool {
        self.zone == TimeZone::UTC
    }

    /// The local time at that moment.
    pub(crate) fn local(&self, micros: i64) -> Option<DateTime> {
        Timestamp::from_microsecond(micros)
            .ok()
            .map(|time| self.zone.to_datetime(time))
    }

    /// The moment of that local time.
    fn moment(&self, local: DateTime) -> Option<i64> {
        self.zone.to_timestamp(local).ok().map(Timestamp::as_microsecond)
    }

    /// The start of a day, counted from 1970-01-01.
    pub(crate) fn start_of(&self, day: i32) -> Option<i64> {
        if self.is_utc() {
            return i64::from(day).checked_mul(DAY);
        }
        Date::new(1970, 1, 1)
            .ok()?
            .checked_add(i64::from(day).days())
            .ok()
            .and_then(|date| self.moment(date.into()))
    }

    /// That many units later, or earlier where negative; `None` beyond the years that there are.
    pub(crate) fn shift(&self, micros: i64, amount: i64, unit: Unit) -> Option<i64> {
        let fixed = match unit {
            Unit::Millisecond => Some(1_000),
            Unit::Second => Some(1_000_000),
            Unit::Minute => Some(60_000_000),
            Unit::Hour => Some(3_600_000_000),
            Unit::Day if self.is_utc() => Some(DAY),
            Unit::Week if self.is_utc() => Some(7 * DAY),
            _ => None,
        };
        if let Some(length) = fixed {
            return amount
                .checked_mul(length)
                .and_then(|distance| micros.checked_add(distance));
        }
        let local = self.local(micros)?;
        let shifted = match unit {
            Unit::Day => local.checked_add(jiff::Span::new().try_days(amount).ok()?),
            Unit::Week => local.checked_add(jiff::Span::new().try_weeks(amount).ok()?),
            Unit::Month => local.checked_add(jiff::Span::new().try_months(amount).ok()?),
            _ => local.checked_add(jiff::Span::new().try_years(amount.checked_mul(years(unit))?).ok()?),
        };
        // What is below a microsecond was lost on the way in.
        shifted.ok().and_then(|local| self.moment(local))
    }

    /// The beginning of the unit that the moment is in.
    pub(crate) fn floor(&self, micros: i64, unit: Unit) -> Option<i64> {
        let short = match unit {
            Unit::Millisecond => Some(1_000),
            Unit::Second => Some(1_000_000),
            Unit::Minute => Some(60_000_000),
            Unit::Hour => Some(3_600_000_000),
            _ => None,
        };
        let local = self.local(micros)?;
        if let Some(length) = short {
            // Offsets of whole minutes and more: counted from the start of the local day.
            let start = local.date().to_datetime(jiff::civil::Time::midnight());
            let since = i64::try_from(local.duration_since(start).as_micros()).ok()?;
            return micros.checked_sub(since.rem_euclid(length));
        }
        let date = local.date();
        let first = match unit {
            Unit::Day => date,
            Unit::Week => date
                .checked_sub(i64::from(date.weekday().since(self.week_start)).days())
                .ok()?,
            Unit::Month => date.first_of_month(),
            _ => {
                let length = years(unit);
                let year = i64::from(date.year());
                Date::new(i16::try_from(year - year.rem_euclid(length)).ok()?, 1, 1).ok()?
            }
        };
        self.moment(first.into())
    }
}

fn years(unit: Unit) -> i64 {
    match unit {
        Unit::Decade => 10,
        Unit::Century => 100,
        Unit::Millennium => 1000,
        _ => 1,
    }
}

/// Days from 1970-01-01.
fn days(date: Date) -> Option<i32> {
    let epoch = Date::new(1970, 1, 1).ok()?;
    i32::try_from(date.duration_since(epoch).as_hours() / 24).ok()
}

/// A day, counted from 1970-01-01, if there is such a day.
pub(crate) fn day(year: i64, month: i64, day: i64) -> Option<i32> {
    let date = Date::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
    )
    .ok()?;
    days(date)
}

/// The date of a day that is counted from 1970-01-01.
pub(crate) fn date(day: i32) -> Option<Date> {
    Date::new(1970, 1, 1)
        .ok()?
        .checked_add(SignedDuration::from_hours(i64::from(day) * 24))
        .ok()
}

/// Microseconds since 1970 of a text such as `2024-02-29T12:00:00Z`; without an offset it is UTC.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_microsecond());
    }
    let local: DateTime = text.parse().ok()?;
    TimeZone::UTC.to_timestamp(local).ok().map(Timestamp::as_microsecond)
}

/// Days since 1970-01-01 of a text such as `2024-02-29`.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    // A date may stand before a time; this one must be all there is.
    if text.len() != 10 {
        return None;
    }
    text.parse::<Date>().ok().and_then(days)
}

/// A moment as text.
pub(crate) fn show(micros: i64) -> String {
    Timestamp::from_microsecond(micros)
        .map_or_else(|_| format!("{micros} microseconds since 1970"), |time| time.to_string())
}
