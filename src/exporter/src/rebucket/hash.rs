//! Which bucket a key goes to.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray, UInt32Array},
        compute::cast,
        datatypes::DataType,
    },
    logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf},
};

use crate::fields::types::TEXT;

/// A function from the key of a row to the number of its bucket, of `buckets`.
pub(super) fn bucket_of(buckets: u32) -> ScalarUDF {
    create_udf(
        "bucket_of",
        vec![DataType::Utf8],
        DataType::UInt32,
        Volatility::Immutable,
        Arc::new(move |arguments: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(arguments)?;
            let keys = cast(&arrays[0], &TEXT)?;
            let numbers = keys
                .as_string_view()
                .iter()
                .map(|key| key.map(|key| bucket(key, buckets)));
            let numbers: ArrayRef = Arc::new(numbers.collect::<UInt32Array>());
            Ok(ColumnarValue::Array(numbers))
        }),
    )
}

/// By the FNV-1a hash of the key's bytes, the same on every machine and in every version.
fn bucket(key: &str, buckets: u32) -> u32 {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The low bits alone would follow the last letters.
    let mixed = (hash ^ (hash >> 32)) % u64::from(buckets.max(1));
    u32::try_from(mixed).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spread_evenly_and_always_alike() {
        assert_eq!(bucket("", 1000), 945);
        let mut counts = [0_u32; 16];
        for number in 0..16_000 {
            counts[usize::try_from(bucket(&format!("profile-{number:06}"), 16)).unwrap_or_default()] += 1;
        }
        assert!(counts.iter().all(|count| (850..=1150).contains(count)), "{counts:?}");
    }
}
