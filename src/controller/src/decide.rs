//! What to do about one ExportJob: a pure function of what was observed.

use crate::{decision::Decision, observed::Observed, settings::Settings};

/// Decides what to do. Nothing here can fail: what is wrong becomes part of the decision.
pub fn decide(observed: &Observed, settings: &Settings) -> Decision {
    let _ = (observed, settings);
    Decision::rest()
}
