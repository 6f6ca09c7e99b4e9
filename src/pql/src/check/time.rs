//! Conditions on times.

use super::{Checked, Checker, Result, wrong_type};
use crate::{
    Expr,
    ast::{Anchor, Occurrence},
    op::{AnchorOp, Constant, Op, TimeOp, When, WindowSpec},
};

impl Checker<'_> {
    pub(super) fn occurs(&mut self, time: &Expr, occurrence: &Occurrence) -> Result<Checked> {
        let subject = self.time(time, "the left side of occurs", true)?;
        let op = match self.when(occurrence)? {
            When::Absolute(window) => TimeOp::Absolute(Box::new(subject), window),
            When::Relative(spec) => TimeOp::Relative(Box::new(subject), Box::new(spec)),
        };
        Ok(Checked::bool(Op::Time(op)))
    }

    /// A time; `many` accepts a list of times, too.
    pub(super) fn time(&mut self, expr: &Expr, subject: &str, many: bool) -> Result<Op> {
        let checked = self.expr(expr)?;
        let type_ = if many { checked.type_.item() } else { &checked.type_ };
        if !type_.is_time() {
            return Err(wrong_type(
                expr.span,
                subject,
                "a timestamp or a date",
                &checked.type_,
                None,
            ));
        }
        Ok(checked.op)
    }

    /// A condition on a time, computed beforehand where it does not depend on the profile.
    pub(super) fn when(&mut self, occurrence: &Occurrence) -> Result<When> {
        let spec = match occurrence {
            Occurrence::Within {
                comparison,
                amount,
                unit,
                side,
                anchor,
            } => WindowSpec::Within {
                comparison: *comparison,
                amount: *amount,
                unit: *unit,
                side: *side,
                anchor: self.anchor(anchor)?,
            },
            Occurrence::Beside(side, anchor) => WindowSpec::Beside(*side, self.anchor(anchor)?),
            Occurrence::On(anchor) => WindowSpec::On(self.anchor(anchor)?),
            Occurrence::Between(from, to) => WindowSpec::Between(self.anchor(from)?, self.anchor(to)?),
        };
        let absolute = match &spec {
            WindowSpec::Within { anchor, .. } | WindowSpec::Beside(_, anchor) | WindowSpec::On(anchor) => {
                is_absolute(anchor)
            }
            WindowSpec::Between(from, to) => is_absolute(from) && is_absolute(to),
        };
        if !absolute {
            return Ok(When::Relative(spec));
        }
        self.windows.push(spec);
        Ok(When::Absolute(self.windows.len() - 1))
    }

    fn anchor(&mut self, anchor: &Anchor) -> Result<AnchorOp> {
        match anchor {
            Anchor::Period(which, unit) => Ok(AnchorOp::Period(*which, *unit)),
            Anchor::Time(expr) => self.time(expr, expr.to_string().as_str(), false).map(AnchorOp::Time),
        }
    }
}

fn is_absolute(anchor: &AnchorOp) -> bool {
    match anchor {
        AnchorOp::Period(..) | AnchorOp::Time(Op::Time(TimeOp::Instant(_))) => true,
        AnchorOp::Time(Op::Time(TimeOp::Date(parts))) => {
            parts.iter().all(|part| matches!(part, Op::Constant(Constant::Int(_))))
        }
        AnchorOp::Time(_) => false,
    }
}
