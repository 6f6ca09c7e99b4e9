//! Times of manifests.

use jiff::Timestamp;

use crate::PlanError;

/// Microseconds since 1970-01-01T00:00:00Z of an RFC 3339 time. `field` names it in the error.
pub fn micros(field: &str, text: &str) -> Result<i64, PlanError> {
    text.parse::<Timestamp>()
        .map(Timestamp::as_microsecond)
        .map_err(|error| PlanError::InvalidSpec {
            field: field.to_owned(),
            message: format!("{text:?} is not an RFC 3339 time: {error}"),
        })
}
