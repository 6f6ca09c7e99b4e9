//! Field paths as the API writes them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::PlanError;

/// A dotted path of a field, parsed: never empty, no empty segment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// Names from the outside in.
    pub fn segments(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.join("."))
    }
}

/// Which fields are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FieldSelection {
    /// All that there are.
    All,
    /// These, with everything below them. Sorted, without doubles.
    Paths(Vec<FieldPath>),
}

impl FieldSelection {
    /// Reads a comma-separated list of dotted paths; blanks around paths are ignored, `x.*` is `x`, `*` and a blank list
    /// are all. `field` names the list in the error.
    pub fn parse(field: &str, text: Option<&str>) -> Result<Self, PlanError> {
        let text = text.unwrap_or_default().trim();
        if text.is_empty() {
            return Ok(Self::All);
        }
        let mut paths = Vec::new();
        for path in text.split(',') {
            match parse_path(field, path.trim())? {
                None => return Ok(Self::All),
                Some(path) => paths.push(path),
            }
        }
        paths.sort();
        paths.dedup();
        Ok(Self::Paths(paths))
    }
}

/// One path; `None` for `*`.
fn parse_path(field: &str, text: &str) -> Result<Option<FieldPath>, PlanError> {
    let invalid = |message: String| PlanError::InvalidSpec {
        field: field.to_owned(),
        message,
    };
    if text == "*" {
        return Ok(None);
    }
    if text.is_empty() {
        return Err(invalid("has an empty path: remove the comma too many".to_owned()));
    }
    let path = text.strip_suffix(".*").unwrap_or(text);
    let segments: Vec<String> = path.split('.').map(|segment| segment.trim().to_owned()).collect();
    if segments
        .iter()
        .any(|segment| segment.is_empty() || segment.contains(char::is_whitespace) || segment == "*")
    {
        return Err(invalid(format!(
            "{text:?} is not a dotted path such as personalEmail.address (a * may only stand at its end)"
        )));
    }
    Ok(Some(FieldPath(segments)))
}

/// The candidate that looks most like `name`, if any looks alike: by the letters to change, whatever their case.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // With more than half of the letters changed it is another word and not a slip of the finger.
    const ALIKE: f64 = 0.5;
    let name = name.to_lowercase();
    let length = name.chars().count();
    let is_alike_in_length = |candidate: &&str| {
        let other = candidate.chars().count();
        length <= 2 * other && other <= 2 * length
    };
    candidates
        .into_iter()
        .filter(is_alike_in_length)
        .map(|candidate| {
            let score = strsim::normalized_damerau_levenshtein(&name, &candidate.to_lowercase());
            (score, candidate)
        })
        .filter(|(score, _)| *score >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, candidate)| candidate)
}
