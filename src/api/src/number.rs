//! Whole numbers as JSON writers have them.

use serde::{Deserialize, Deserializer, de::Error};

/// Reads an optional whole number that may be written with a zero fraction: `1.0` is 1.
pub fn integral<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    match Option::<serde_json::Number>::deserialize(deserializer)? {
        None => Ok(None),
        Some(number) => whole(&number)
            .map(Some)
            .ok_or_else(|| D::Error::custom(format!("{number} is not a whole number"))),
    }
}

fn whole(number: &serde_json::Number) -> Option<i64> {
    // 2^53: the largest range in which every whole double is one whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    number.as_i64().or_else(|| {
        let value = number.as_f64()?;
        #[allow(clippy::cast_possible_truncation)]
        (value.fract() == 0.0 && value.abs() <= EXACT).then_some(value as i64)
    })
}
