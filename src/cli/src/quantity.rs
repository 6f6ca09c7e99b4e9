//! Quantities as Kubernetes writes them: `2Gi`, `500m`, `1e3`.

/// Factors of the suffixes, longest suffix first where one ends in another.
const SUFFIXES: &[(&str, f64)] = &[
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// The number that a quantity stands for.
pub(crate) fn parse(text: &str) -> Result<f64, String> {
    let (digits, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| text.strip_suffix(suffix).map(|digits| (digits, *factor)))
        .unwrap_or((text, 1.0));
    match digits.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 && !digits.starts_with('+') => Ok(number * factor),
        _ => Err(format!("{text:?} is not a quantity such as 512Mi, 2Gi or 1.5")),
    }
}

/// A quantity of memory in bytes; at least 64 MiB.
pub(crate) fn bytes(text: &str) -> Result<usize, String> {
    const LEAST: f64 = 64.0 * 1_048_576.0;
    let bytes = parse(text)?;
    if bytes < LEAST {
        return Err(format!("{text} is too little memory: an export needs 64Mi or more"));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok(bytes as usize)
}

/// A quantity of cores, rounded up; at least 1.
pub(crate) fn cores(text: &str) -> Result<usize, String> {
    let cores = parse(text)?.ceil().clamp(1.0, 1024.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok(cores as usize)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn quantities_are_those_of_kubernetes() {
        assert_eq!(bytes("2Gi").unwrap(), 2 << 30);
        assert_eq!(bytes("1.5Gi").unwrap(), 3 << 29);
        assert_eq!(bytes("500M").unwrap(), 500_000_000);
        assert_eq!(bytes("1e9").unwrap(), 1_000_000_000);
        assert_eq!(cores("1500m").unwrap(), 2);
        assert_eq!(cores("100m").unwrap(), 1);
        assert_eq!(cores("2500000u").unwrap(), 3);
        assert_eq!(bytes("1Pi").unwrap(), 1 << 50);
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "two", "2GB", "-1Gi", "inf", "NaN", "1Mi"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
